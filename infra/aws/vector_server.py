"""One EC2 instance in a private subnet, its points on an EBS volume of their own.

Whoever deploys downloads the pinned release, and Pulumi puts it into the bucket, from where the instance takes it
through the gateway endpoint: so the server needs no internet. Its key is fetched at each start, through the instance's
role, into memory; it is in no user data, no state and on no disk. A key that nobody gave is made by the instance.
Between functions and server there is no TLS: both stand in the network.
"""

import json
from string import Template
from typing import Final

import pulumi
import pulumi_aws as aws

from functions.errors import TroupeError
from infra.aws.grants import Statement, policy
from infra.aws.policies import trust
from infra.components.common import Common
from infra.components.vector_server import VectorServerArgs

VERSION: Final = "1.19.0"
RELEASE: Final = (
    "https://github.com/qdrant/qdrant/releases/download/v{version}/qdrant-{architecture}-unknown-linux-musl.tar.gz"
)
ARCHITECTURES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
IMAGE: Final = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}"
UNCHECKED: Final = (
    f"the release of Qdrant {VERSION} for {{architecture}} is started unchecked: give troupe:vectors.releaseSha256 "
    "(docs/aws-settings.md says how to find it)"
)
PORT: Final = 6333
DEVICE: Final = "/dev/sdf"
DAYS_TO_RECOVER: Final = 30
SNAPSHOTS: Final = 7  # kept, one a day
START: Final = Template("""#!/bin/bash
set -euo pipefail
volume="/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$volume"
until [ -b "$$volume" ]; do sleep 2; done
blkid "$$volume" || mkfs.xfs "$$volume"
mkdir -p /var/lib/qdrant
echo "$$volume /var/lib/qdrant xfs defaults,nofail 0 2" >> /etc/fstab
mount /var/lib/qdrant
useradd --system --home /var/lib/qdrant qdrant || true
chown qdrant: /var/lib/qdrant
cd /root
aws s3 cp "s3://$bucket/$object" qdrant.tar.gz --region $region
$check
tar xzf qdrant.tar.gz -C /usr/local/bin qdrant
cat > /usr/local/bin/qdrant-start <<'SCRIPT'
#!/bin/bash
set -euo pipefail
secrets() { aws secretsmanager "$$@" --region $region --secret-id $secret; }
said=$$(mktemp)
if ! key=$$(secrets get-secret-value --query SecretString --output text 2> "$$said"); then
  grep -q ResourceNotFoundException "$$said" || { cat "$$said" >&2; exit 1; }
  key=$$(head -c 32 /dev/urandom | sha256sum | cut -c 1-64)
  printf %s "$$key" | secrets put-secret-value --secret-string file:///dev/stdin > /dev/null
fi
rm "$$said"
QDRANT__SERVICE__API_KEY="$$key" exec /usr/local/bin/qdrant
SCRIPT
chmod +x /usr/local/bin/qdrant-start
cat > /etc/systemd/system/qdrant.service <<'UNIT'
[Unit]
After=network-online.target
Wants=network-online.target
RequiresMountsFor=/var/lib/qdrant
[Service]
User=qdrant
WorkingDirectory=/var/lib/qdrant
Environment=QDRANT__STORAGE__STORAGE_PATH=/var/lib/qdrant/storage
Environment=QDRANT__STORAGE__SNAPSHOTS_PATH=/var/lib/qdrant/snapshots
Environment=QDRANT__TELEMETRY_DISABLED=true
ExecStart=/usr/local/bin/qdrant-start
Restart=always
RestartSec=5
LimitNOFILE=65536
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now qdrant
""")


class InstanceError(TroupeError):
    """The server does not run on this type of instance."""


class VectorServer(pulumi.ComponentResource):
    """See `infra.components.vector_server`."""

    def __init__(self, name: str, args: VectorServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:VectorServer", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        common, lookup = args.common, pulumi.InvokeOptions(parent=self)
        architecture = _architecture(args.settings.instance, lookup)
        release = self._release(name, args, architecture)
        if common.protect and not args.settings.release_sha256:
            pulumi.warn(UNCHECKED.format(architecture=architecture), self)
        volume = aws.ebs.Volume(
            name,
            availability_zone=args.network.zones[0],
            size=args.settings.volume_gb,
            type="gp3",
            encrypted=True,
            kms_key_id=common.key,
            final_snapshot=common.protect,
            tags={"Name": common.names.of("vectors")},
            opts=pulumi.ResourceOptions(parent=self, protect=common.protect, retain_on_delete=common.protect),
        )
        self.key = pulumi.Output.from_input(args.key) if args.key else self._secret(name, common)
        profile = self._profile(name, args, release)
        instance = aws.ec2.Instance(
            name,
            ami=aws.ssm.get_parameter(name=IMAGE.format(architecture=architecture), opts=lookup).value,
            instance_type=args.settings.instance,
            subnet_id=args.network.subnets[0],
            private_ip=args.network.address,  # every function is told it, and a server after this one has it too
            vpc_security_group_ids=[self._group(name, args)],
            associate_public_ip_address=False,
            iam_instance_profile=profile,
            metadata_options={"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
            root_block_device={"encrypted": True, "kms_key_id": common.key, "volume_type": "gp3"},
            user_data=self._start(args, release, volume),
            user_data_replace_on_change=True,
            disable_api_termination=False,  # it holds nothing: what is protected is the volume
            tags={"Name": common.names.of("vectors")},
            opts=pulumi.ResourceOptions(
                parent=self,
                ignore_changes=["ami"],  # a newer image is no reason to start again in the middle of a deploy
                delete_before_replace=True,  # the volume hangs on one instance at a time
            ),
        )
        aws.ec2.VolumeAttachment(
            name,
            device_name=DEVICE,
            instance_id=instance.id,
            volume_id=volume.id,
            stop_instance_before_detaching=True,  # or what it has not written yet is lost
            opts=self._child,
        )
        if common.protect:
            self._snapshots(name, common, volume)
        self.url = f"http://{args.network.address}:{PORT}"
        self.register_outputs({"url": self.url})

    def _start(
        self, args: VectorServerArgs, release: aws.s3.BucketObjectv2, volume: aws.ebs.Volume
    ) -> pulumi.Output[str]:
        expected = args.settings.release_sha256

        def script(known: list[str]) -> str:
            bucket, taken, of_volume, secret = known
            return START.substitute(
                bucket=bucket,
                object=taken,
                check=f"echo '{expected}  qdrant.tar.gz' | sha256sum -c" if expected else "# nobody said its SHA-256",
                region=args.common.region,
                secret=secret,
                volume=of_volume.replace("-", ""),
            )

        return pulumi.Output.all(args.blobs.name, release.key, volume.id, self.key).apply(script)

    def _release(self, name: str, args: VectorServerArgs, architecture: str) -> aws.s3.BucketObjectv2:
        url = RELEASE.format(version=VERSION, architecture=ARCHITECTURES[architecture])
        return aws.s3.BucketObjectv2(
            name,
            bucket=args.blobs.name,
            key=f"software/qdrant-{VERSION}-{architecture}.tar.gz",
            source=pulumi.RemoteAsset(url),
            opts=self._child,
        )

    def _secret(self, name: str, common: Common) -> pulumi.Output[str]:
        """Without a value: the instance puts one there at its first start."""
        return aws.secretsmanager.Secret(
            name,
            name=f"{common.names.prefix}/vectors",
            description="The key of the vector server, made by itself",
            kms_key_id=common.key,
            recovery_window_in_days=DAYS_TO_RECOVER if common.protect else 0,
            opts=pulumi.ResourceOptions(parent=self, protect=common.protect, retain_on_delete=common.protect),
        ).arn

    def _snapshots(self, name: str, common: Common, volume: aws.ebs.Volume) -> None:
        """One each night of the volume: a server's own disk has no tag, and nothing on it is kept."""
        role = aws.iam.Role(
            f"{name}-snapshots",
            name=common.names.of("vectors", "snapshots"),
            assume_role_policy=trust("dlm.amazonaws.com", common.account),
            permissions_boundary=common.permissions_boundary or None,
            opts=self._child,
        )
        allowed = aws.iam.RolePolicy(
            f"{name}-snapshots",
            name="snapshots",
            role=role.name,
            policy=pulumi.Output.all(volume.arn, common.key or "").apply(
                lambda known: json.dumps(policy(_may_snapshot(common, *known)))
            ),
            opts=self._child,
        )
        aws.dlm.LifecyclePolicy(
            name,
            description="Daily snapshots of the volume of the vector server",
            execution_role_arn=role.arn,
            state="ENABLED",
            policy_details={
                "resource_types": ["VOLUME"],
                "target_tags": {"Name": common.names.of("vectors")},
                "schedules": [
                    {
                        "name": "daily",
                        "create_rule": {"interval": 24, "interval_unit": "HOURS", "times": "02:00"},
                        "retain_rule": {"count": SNAPSHOTS},
                        "copy_tags": True,
                    }
                ],
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )

    def _group(self, name: str, args: VectorServerArgs) -> pulumi.Output[str]:
        """In: functions, to the one port. Out: where it takes its release and its key from."""
        group = aws.ec2.SecurityGroup(
            name,
            name=args.common.names.of("vectors"),
            vpc_id=args.network.vpc,
            description="The vector server",
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            name,
            security_group_id=group.id,
            referenced_security_group_id=args.network.functions,
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            name,
            security_group_id=args.network.functions,
            referenced_security_group_id=group.id,
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-services",
            security_group_id=group.id,
            description="Services of AWS",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4="0.0.0.0/0",
            opts=self._child,
        )
        return group.id

    def _profile(self, name: str, args: VectorServerArgs, release: aws.s3.BucketObjectv2) -> pulumi.Output[str]:
        role = aws.iam.Role(
            name,
            name=args.common.names.of("vectors"),
            assume_role_policy=trust("ec2.amazonaws.com"),
            permissions_boundary=args.common.permissions_boundary or None,
            opts=self._child,
        )
        aws.iam.RolePolicy(
            name,
            name="start",
            role=role.name,
            policy=pulumi.Output.all(args.blobs.arn, release.key, args.common.key or "", self.key).apply(
                lambda known: json.dumps(policy(_allowed(*known, makes_key=args.key is None)))
            ),
            opts=self._child,
        )
        return aws.iam.InstanceProfile(
            name, name=args.common.names.of("vectors"), role=role.name, opts=self._child
        ).name


def _architecture(instance: str, opts: pulumi.InvokeOptions) -> str:
    """Of its processors. Where the hypervisor is Xen, a volume is not found by the name that the start waits for."""
    kind = aws.ec2.get_instance_type(instance_type=instance, opts=opts)
    found = [each for each in ARCHITECTURES if each in kind.supported_architectures]
    if not found or kind.hypervisor == "xen":
        raise InstanceError(
            f"troupe:vectors.instance is {instance}, which the vector server does not run on: choose a type of the "
            f"Nitro system with processors of {' or '.join(ARCHITECTURES)}, e.g. t4g.small"
        )
    return found[0]


def _allowed(bucket: str, release: str, key: str, secret: str, *, makes_key: bool) -> list[Statement]:
    reads = "secretsmanager:GetSecretValue"
    encrypts = ("kms:Decrypt", "kms:GenerateDataKey") if makes_key else ("kms:Decrypt",)
    found = [
        Statement(sid="Release", actions=("s3:GetObject",), resources=(f"{bucket}/{release}",), because="its program"),
        Statement(
            sid="Key",
            actions=(reads, "secretsmanager:PutSecretValue") if makes_key else (reads,),
            resources=(secret,),
            because="its API key",
        ),
        Statement(sid="Decrypt", actions=encrypts, resources=(key,) if key else (), because="both of these"),
    ]
    return [each for each in found if each.resources]


def _may_snapshot(common: Common, volume: str, key: str) -> list[Statement]:
    snapshots = f"arn:aws:ec2:{common.region}::snapshot/*"
    uses = ("kms:DescribeKey", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext")
    by_ec2 = {"StringEquals": {"kms:ViaService": f"ec2.{common.region}.amazonaws.com"}}
    found = [
        Statement(
            sid="Find",
            actions=("ec2:DescribeVolumes", "ec2:DescribeSnapshots", "ec2:DescribeInstances"),
            resources=("*",),
            because="which volume has the tag, and which snapshots there are",
            wildcard="EC2 describes nothing by its ARN",
        ),
        Statement(
            sid="Make",
            actions=("ec2:CreateSnapshot",),
            resources=(volume, snapshots),
            because="one each day",
            wildcard="a snapshot has no name before it is made",
        ),
        Statement(
            sid="Tag",
            actions=("ec2:CreateTags",),
            resources=(snapshots,),
            conditions={"StringEquals": {"ec2:CreateAction": "CreateSnapshot"}},
            because="how it knows its own again",
            wildcard="a snapshot has no name before it is made",
        ),
        Statement(
            sid="Remove",
            actions=("ec2:DeleteSnapshot",),
            resources=(snapshots,),
            conditions={"StringEquals": {"aws:ResourceTag/Name": common.names.of("vectors")}},
            because="those of more than a week ago",
            wildcard="a snapshot has no name before it is made; its tag is the volume's",
        ),
        Statement(sid="Key", actions=uses, resources=(key,), conditions=by_ec2, because="the volume is encrypted"),
        Statement(
            sid="Grant",
            actions=("kms:CreateGrant",),
            resources=(key,),
            conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
            because="EC2 reads and writes blocks with it",
        ),
    ]
    return [each for each in found if all(each.resources)]
