"""A VPC with a private subnet in each zone.

Tables and buckets are reached by gateway endpoints, which are free; other services by interface endpoints, which are
not; everything else through a NAT gateway, where the stack wants one. It is one for all zones: what needs
the internet waits when its zone fails. There are no flow logs.
"""

import ipaddress
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.policies import document
from infra.components.network import NetworkArgs

HTTPS = 443
MORE_BITS = 4  # a network has room for 16 subnets
PUBLIC = 15  # the last of them, for the NAT gateway alone
SERVER = 10  # of a subnet's addresses; the first four and the last are AWS's, and the smallest subnet has 16


class Network(pulumi.ComponentResource):
    """See `infra.components.network`."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Network", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args
        self._cidrs = list(ipaddress.IPv4Network(args.settings.cidr).subnets(prefixlen_diff=MORE_BITS))
        found = aws.get_availability_zones(
            state="available",
            filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}],  # no Local Zones
            opts=pulumi.InvokeOptions(parent=self),
        ).names
        self.zones = tuple(sorted(found)[: args.settings.zones])
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=args.settings.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._called(name),
            opts=self._child,
        )
        self.vpc = vpc.id
        table = aws.ec2.RouteTable(name, vpc_id=vpc.id, tags=self._called(name), opts=self._child)
        first, *others = (self._subnet(zone, self._cidrs[at], table) for at, zone in enumerate(self.zones))
        self.address = str(self._cidrs[0][SERVER])
        self.subnets = (self._kept_free(first), *others)
        self.functions = self._functions()
        if args.settings.nat:
            self._outside(table)
        for service in ("s3", "dynamodb"):
            self._endpoint(service, "Gateway", route_table_ids=[table.id])
        if args.services:
            self._interfaces()
        self.register_outputs({"vpc": self.vpc, "subnets": list(self.subnets)})

    def _called(self, name: str) -> dict[str, str]:
        return {"Name": self._args.common.names.of(name)}

    def _subnet(self, zone: str, cidr: object, table: aws.ec2.RouteTable) -> pulumi.Output[str]:
        subnet = aws.ec2.Subnet(
            f"{self._name}-{zone}",
            vpc_id=self.vpc,
            availability_zone=zone,
            cidr_block=str(cidr),
            map_public_ip_on_launch=False,
            tags=self._called(zone),
            opts=self._child,
        )
        aws.ec2.RouteTableAssociation(
            f"{self._name}-{zone}", subnet_id=subnet.id, route_table_id=table.id, opts=self._child
        )
        return subnet.id

    def _kept_free(self, subnet: pulumi.Output[str]) -> pulumi.Output[str]:
        """The subnet, once nothing in it can be given the server's address: not even while that is replaced."""
        reserved = aws.ec2.SubnetCidrReservation(
            self._name,
            subnet_id=subnet,
            cidr_block=f"{self.address}/32",
            reservation_type="explicit",
            description="The vector server",
            opts=self._child,
        )
        return reserved.subnet_id

    def _group(self, name: str, description: str) -> pulumi.Output[str]:
        """A security group; it lets nothing in or out until a rule does."""
        return aws.ec2.SecurityGroup(
            f"{self._name}-{name}",
            name=self._args.common.names.of(name),
            vpc_id=self.vpc,
            description=description,
            opts=self._child,
        ).id

    def _functions(self) -> pulumi.Output[str]:
        """What functions are members of: nobody gets in, and out there is only where a route leads."""
        group = self._group("functions", "Functions of the stack")
        if self._args.settings.nat:
            self._out(group, "functions", "Anything outside", 1, 65_535)
        else:
            self._out(group, "functions", "Services of AWS", HTTPS, HTTPS)
            for port in self._args.ports:
                self._out(group, f"functions-{port}", "A service by URL", port, port)
        return group

    def _out(self, group: pulumi.Output[str], name: str, description: str, first: int, last: int) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{name}",
            security_group_id=group,
            description=description,
            ip_protocol="tcp",
            from_port=first,
            to_port=last,
            cidr_ipv4="0.0.0.0/0",  # gateway endpoints have public addresses; without a route there is nothing else
            opts=self._child,
        )

    def _interfaces(self) -> None:
        group = self._group("endpoints", "Services of AWS, from inside the network")
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-endpoints",
            security_group_id=group,
            description="From the network",
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            cidr_ipv4=self._args.settings.cidr,
            opts=self._child,
        )
        for service in self._args.services:
            self._endpoint(
                service,
                "Interface",
                private_dns_enabled=True,
                subnet_ids=list(self.subnets),
                security_group_ids=[group],
            )

    def _endpoint(self, service: str, kind: str, **how: Any) -> None:
        common = self._args.common
        aws.ec2.VpcEndpoint(
            f"{self._name}-{service}",
            vpc_id=self.vpc,
            vpc_endpoint_type=kind,
            service_name=f"com.amazonaws.{common.region}.{service}",
            policy=_of_account(common.account),
            tags=self._called(service),
            opts=self._child,
            **how,
        )

    def _outside(self, private: aws.ec2.RouteTable) -> None:
        name, tags = f"{self._name}-public", self._called("public")
        gateway = aws.ec2.InternetGateway(name, vpc_id=self.vpc, tags=tags, opts=self._child)
        subnet = aws.ec2.Subnet(
            name,
            vpc_id=self.vpc,
            availability_zone=self.zones[0],
            cidr_block=str(self._cidrs[PUBLIC]),
            map_public_ip_on_launch=False,
            tags=tags,
            opts=self._child,
        )
        table = aws.ec2.RouteTable(name, vpc_id=self.vpc, tags=tags, opts=self._child)
        route = aws.ec2.Route(
            name, route_table_id=table.id, destination_cidr_block="0.0.0.0/0", gateway_id=gateway.id, opts=self._child
        )
        aws.ec2.RouteTableAssociation(name, subnet_id=subnet.id, route_table_id=table.id, opts=self._child)
        address = aws.ec2.Eip(name, domain="vpc", tags=tags, opts=self._child)
        nat = aws.ec2.NatGateway(
            name,
            allocation_id=address.id,
            subnet_id=subnet.id,
            tags=tags,
            # it fails to start in a subnet without a way out, and none of its arguments is that route
            opts=pulumi.ResourceOptions(parent=self, depends_on=[route]),
        )
        aws.ec2.Route(
            f"{self._name}-outside",
            route_table_id=private.id,
            destination_cidr_block="0.0.0.0/0",
            nat_gateway_id=nat.id,
            opts=self._child,
        )


def _of_account(account: str) -> str:
    """Through an endpoint, only identities of this account; what they may do, their roles say."""
    return document(
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalAccount": account}},
        }
    )
