#!/usr/bin/env python3
"""Changes rights on a broker: acls.py grant|revoke BOOTSTRAP PRINCIPAL RIGHT…

A right is OPERATION:RESOURCE:PATTERN:NAME, as in Read:topic:literal:scans. What is revoked must have
been granted.
"""

import re
import sys

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}


def parts(principal, right):
    operation, resource, pattern, name = right.split(":", 3)
    operation = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()
    return (
        RESOURCES[resource],
        name,
        ResourcePatternType[pattern.upper()],
        principal,
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )


def main():
    verb, bootstrap, principal, *rights = sys.argv[1:]
    client = AdminClient({"bootstrap.servers": bootstrap})
    if verb == "grant":
        bindings = [AclBinding(*parts(principal, right)) for right in rights]
        for future in client.create_acls(bindings, request_timeout=20).values():
            future.result()
        return
    filters = [AclBindingFilter(*parts(principal, right)) for right in rights]
    for asked, future in client.delete_acls(filters, request_timeout=20).items():
        if not future.result():
            sys.exit(f"{asked} was not granted")


if __name__ == "__main__":
    main()
