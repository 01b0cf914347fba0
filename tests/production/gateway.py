"""S3 and RDS behind IAM: a gateway that lets through only what its sender's policy does.

The local services know no policies. What each request needs leave for follows the service
authorization references of Amazon S3 and RDS, and a request that the gateway does not know is an
error. Every object, the instance and its copies are encrypted with keys of the account's own, so
that what their guides say of KMS holds, too.
"""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.production.policies import ACCOUNT, KEYS, Action, Statement, is_allowed

_BUCKET_SETTINGS = {
    "encryption": "s3:GetEncryptionConfiguration",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "object-lock": "s3:GetBucketObjectLockConfiguration",
    "policy": "s3:GetBucketPolicy",
    "policyStatus": "s3:GetBucketPolicyStatus",
    "publicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "uploads": "s3:ListBucketMultipartUploads",
    "versioning": "s3:GetBucketVersioning",
    "versions": "s3:ListBucketVersions",
}

_RDS = f"arn:aws:rds:{{region}}:{ACCOUNT}:"

_RDS_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "CreateDBSnapshot": {"DBInstanceIdentifier": "db", "DBSnapshotIdentifier": "snapshot"},
    "DeleteDBInstance": {"DBInstanceIdentifier": "db"},
    "DeleteDBSnapshot": {"DBSnapshotIdentifier": "snapshot"},
    "ModifyDBInstance": {"DBInstanceIdentifier": "db"},
    "RestoreDBInstanceFromDBSnapshot": {
        "DBInstanceIdentifier": "db",
        "DBSnapshotIdentifier": "snapshot",
        "DBSubnetGroupName": "subgrp",
    },
    "RestoreDBInstanceToPointInTime": {
        "SourceDBInstanceIdentifier": "db",
        "TargetDBInstanceIdentifier": "db",
        "DBSubnetGroupName": "subgrp",
    },
}
"""What a request names by which of its fields."""

_HOP_BY_HOP = {"connection", "transfer-encoding", "date", "server"}


@dataclass(slots=True)
class Gateway:
    """Who may do what, and who did. A sender without a policy here may do everything."""

    upstream: str
    url: str = ""
    policies: dict[str, Sequence[Statement]] = field(default_factory=dict)
    used: dict[str, set[Action]] = field(default_factory=dict)
    denied: dict[str, set[Action]] = field(default_factory=dict)

    def admits(self, sender: str, actions: Sequence[Action]) -> bool:
        policy = self.policies.get(sender)
        if policy is None:
            return True
        refused = {action for action in actions if not is_allowed(policy, action)}
        self.denied.setdefault(sender, set()).update(refused)
        self.used.setdefault(sender, set()).update(set(actions) - refused)
        return not refused


@contextmanager
def gateway(upstream: str) -> Iterator[Gateway]:
    """A gateway before ``upstream``, an S3 endpoint's URL."""
    made = Gateway(upstream)

    class Handler(_Handler):
        gateway = made

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def needed(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> list[Action]:
    """What a request to S3 in path style needs leave for."""
    url = urlsplit(target)
    query = parse_qs(url.query, keep_blank_values=True)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    if not key:
        return _on_bucket(method, f"arn:aws:s3:::{bucket}", query, body)
    return _on_object(method, f"arn:aws:s3:::{bucket}/{key}", query, headers)


def needed_of_rds(region: str, body: bytes) -> list[Action]:
    """What a request to RDS, a form, needs leave for."""
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    return [*_on_instances(region, form), *_on_keys_of_rds(region, form)]


def _on_keys_of_rds(region: str, form: Mapping[str, str]) -> Iterator[Action]:
    if form["Action"].startswith(("CreateDBSnapshot", "RestoreDBInstance", "CopyDBSnapshot")):
        instances = key_arn("INSTANCE_KEY")
        # An alias is none of a policy's resources: IAM asks for the key that it stands for.
        used = {instances, key_arn("DR_KEY", region) if "KmsKeyId" in form else instances}
        via = ("kms:ViaService", f"rds.{region}.amazonaws.com")
        for key in used:
            yield Action("kms:DescribeKey", key, frozenset({via}))
            yield Action(
                "kms:CreateGrant", key, frozenset({via, ("kms:GrantIsForAWSResource", "true")})
            )


def _on_instances(region: str, form: Mapping[str, str]) -> list[Action]:
    action, arn = form["Action"], _RDS.format(region=region)
    name = f"rds:{action}"
    match action:
        case "DescribeDBInstances":
            return [Action(name, f"{arn}db:{form.get('DBInstanceIdentifier', '*')}")]
        case "DescribeDBSnapshots":
            found = [Action(name, f"{arn}snapshot:{form.get('DBSnapshotIdentifier', '*')}")]
            if instance := form.get("DBInstanceIdentifier"):
                found.append(Action(name, f"{arn}db:{instance}"))
            return found
        case "CopyDBSnapshot":
            source = form["SourceDBSnapshotIdentifier"]
            target = f"{arn}snapshot:{form['TargetDBSnapshotIdentifier']}"
            return [
                *(Action(name, resource) for resource in (source, target)),
                Action("rds:ListTagsForResource", source),
                Action("rds:AddTagsToResource", target),
            ]
    named = _RDS_RESOURCES[action].items()
    resources = [f"{arn}{kind}:{form[key]}" for key, kind in named if key in form]
    if action.startswith("RestoreDBInstance"):
        # AWS requires both of either call, also where the request names neither.
        resources += [f"{arn}og:default:postgres-16", f"{arn}pg:default.postgres16"]
    needed = [Action(name, resource) for resource in resources]
    if "Tags.Tag.1.Key" in form:
        made = form.get("TargetDBInstanceIdentifier") or form["DBInstanceIdentifier"]
        needed.append(Action("rds:AddTagsToResource", f"{arn}db:{made}"))
    return needed


def _on_bucket(method: str, arn: str, query: Mapping[str, list[str]], body: bytes) -> list[Action]:
    if method in {"GET", "HEAD"}:
        names = [action for word, action in _BUCKET_SETTINGS.items() if word in query]
        return [Action(name, arn) for name in names or ["s3:ListBucket"]]
    if method == "POST" and "delete" in query:
        return [_deletion(f"{arn}/{key}", version) for key, version in _deleted(body)]
    raise AssertionError(f"no policy knows {method} of {arn} with {query}")


def _on_object(
    method: str, arn: str, query: Mapping[str, list[str]], headers: Mapping[str, str]
) -> list[Action]:
    match method:
        case "GET" | "HEAD":
            return [_reading(arn, "versionId" in query), _key("kms:Decrypt")]
        case "POST" if "restore" in query:
            return [Action("s3:RestoreObject", arn)]
        case "DELETE" if "uploadId" in query:
            return [Action("s3:AbortMultipartUpload", arn)]
        case "DELETE":
            return [_deletion(arn, "versionId" in query)]
        case "PUT" if "retention" in query:
            return [Action("s3:PutObjectRetention", arn)]
        case "PUT" | "POST":
            # The parts of an upload get the key that it began with.
            encrypts = "kms:Decrypt" if "uploadId" in query else "kms:GenerateDataKey"
            actions = [Action("s3:PutObject", arn), _key(encrypts)]
            source = headers.get("x-amz-copy-source")
            if source:
                path, _, versioned = source.partition("?versionId=")
                actions.append(_reading(f"arn:aws:s3:::{unquote(path)}", bool(versioned)))
                actions.append(_key("kms:Decrypt"))
            return actions
    raise AssertionError(f"no policy knows {method} of {arn}")


def _reading(arn: str, versioned: bool) -> Action:
    return Action("s3:GetObjectVersion" if versioned else "s3:GetObject", arn)


def key_arn(name: str, region: str = "us-east-1") -> str:
    """A key of deploy/iam/kms, as the tests name it."""
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{KEYS[name]}"


def _key(name: str) -> Action:
    via = ("kms:ViaService", "s3.us-east-1.amazonaws.com")
    return Action(name, key_arn("OBJECTS_KEY"), frozenset({via}))


def _deletion(arn: str, versioned: bool) -> Action:
    return Action("s3:DeleteObjectVersion" if versioned else "s3:DeleteObject", arn)


def _deleted(body: bytes) -> Iterator[tuple[str, bool]]:
    for element in ET.fromstring(body).iter():
        if element.tag.endswith("Object"):
            children = {child.tag.rpartition("}")[2]: child.text for child in element}
            yield str(children["Key"]), "VersionId" in children


class _Handler(BaseHTTPRequestHandler):
    gateway: Gateway
    protocol_version = "HTTP/1.1"

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        _, _, credential = headers.get("authorization", "").partition("Credential=")
        sender, _, region, service, *_ = credential.split("/")
        actions = (
            needed_of_rds(region, body)
            if service == "rds"
            else needed(self.command, self.path, headers, body)
        )
        if not self.gateway.admits(sender, actions):
            self._refuse()
            return
        upstream = HTTPConnection(urlsplit(self.gateway.upstream).netloc, timeout=60)
        try:
            upstream.request(self.command, self.path, body, headers)
            response = upstream.getresponse()
            content = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            # The answer to HEAD tells the length of what it does not send.
            length = response.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        finally:
            upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815

    def _refuse(self) -> None:
        content = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Requests are not for the tests' output."""
