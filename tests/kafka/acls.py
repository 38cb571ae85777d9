#!/usr/bin/env python3
"""Grants rights on a broker: acls.py BOOTSTRAP USER RIGHT:TYPE:NAME…, as in read:topic:scans."""

import sys

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}


def binding(user, grant):
    right, resource, name = grant.split(":", 2)
    return AclBinding(
        RESOURCES[resource],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[right.upper()],
        AclPermissionType.ALLOW,
    )


def main():
    bootstrap, user, *grants = sys.argv[1:]
    client = AdminClient({"bootstrap.servers": bootstrap})
    futures = client.create_acls([binding(user, grant) for grant in grants], request_timeout=20)
    for future in futures.values():
        future.result()


if __name__ == "__main__":
    main()
