"""Zips in the bucket, from where Lambda takes them: a call takes 50 MB at most, and several functions share a zip."""

import pulumi
import pulumi_aws as aws

from infra.bundling.bundles import Zip
from infra.components.code import CodeArgs, Uploaded

FOLDER = "code/"


class Code(pulumi.ComponentResource):
    """See `infra.components.code`."""

    def __init__(self, name: str, args: CodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Code", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._args = args
        bundles = args.bundles.values()
        zips = {each.code.sha256: each.code for each in bundles}
        shared = {layer.sha256: layer for each in bundles for layer in each.layers}
        codes = {digest: self._object(f"{name}-{digest[:8]}", zipped) for digest, zipped in zips.items()}
        layers = {digest: self._layer(f"{name}-layer-{digest[:8]}", zipped) for digest, zipped in shared.items()}
        self.functions = {
            function: Uploaded(
                bucket=codes[bundle.code.sha256].bucket,
                key=codes[bundle.code.sha256].key,
                digest=bundle.code.base64_sha256,
                handler=bundle.handler,
                layers=tuple(layers[each.sha256] for each in bundle.layers),
            )
            for function, bundle in args.bundles.items()
        }
        self.register_outputs({})

    def _object(self, name: str, zipped: Zip) -> aws.s3.BucketObjectv2:
        return aws.s3.BucketObjectv2(
            name,
            bucket=self._args.blobs.name,
            key=f"{FOLDER}{zipped.sha256}.zip",
            source=pulumi.FileAsset(zipped.file),
            opts=self._child,
        )

    def _layer(self, name: str, zipped: Zip) -> pulumi.Output[str]:
        put = self._object(name, zipped)
        return aws.lambda_.LayerVersion(
            name,
            layer_name=self._args.common.names.of("libraries"),
            s3_bucket=put.bucket,
            s3_key=put.key,
            source_code_hash=zipped.base64_sha256,
            compatible_runtimes=[self._args.runtime],
            compatible_architectures=[self._args.architecture],
            opts=self._child,
        ).arn
