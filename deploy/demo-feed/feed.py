#!/usr/bin/env python3
"""Produces scans of made-up packages, whose days last seconds, as JSON.

Most packages travel from a label to their delivery. Some labels are never handed over, some
packages stop on the way, for a while or for ever, and now and then a carrier's feed falls silent
and catches up: everything that stallwatch tells apart. Stopped by SIGTERM or Ctrl-C.
"""

import argparse
import heapq
import itertools
import json
import random
import signal
import sys
import time

from confluent_kafka import Producer

ROUTE = ("label_created", "picked_up", "departed", "arrived", "departed", "arrived", "out_for_delivery", "delivered")
CARRIERS = {"ups": ("1Z", 16), "fedex": ("", 12), "usps": ("94", 20), "dhl": ("JD", 18)}
FACILITIES = (("MEM", "US"), ("SDF", "US"), ("LEJ", "DE"), ("CGN", "DE"), ("EMA", "GB"))
SERVICES = ("ground", "express")
# Between two scans of a package that moves, in seconds.
PAUSE = (5.0, 40.0)
# For how long a package rests that is found again, and a carrier's feed that catches up.
REST = (130.0, 500.0)
OUTAGE = (130.0, 240.0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True, help="host:port of a broker")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--scans-per-second", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, help="stop after this time; without it never")
    parser.add_argument("--seed", type=int, help="the same packages again; without it others each time")
    parsed = parser.parse_args()
    if parsed.scans_per_second <= 0:
        parser.error("--scans-per-second must be above 0")
    return parsed


class Network:
    """Packages and where they stand. Times are seconds since 1970."""

    def __init__(self, dice, scans_per_second):
        self.dice = dice
        self.numbers = itertools.count(dice.randrange(10**8))
        self.agenda = []
        self.births = scans_per_second / len(ROUTE)
        self.next_birth = None
        self.outages = {}

    def due(self, now):
        """The scans that are to be sent by now, each with the package's key."""
        self.be_born(now)
        while self.agenda and self.agenda[0][0] <= now:
            at, _, package = heapq.heappop(self.agenda)
            until = self.outage(package["carrier"], now)
            if until is not None:
                # It has happened; word of it comes when the feed is back.
                package.setdefault("happened", at)
                self.hang(until, package)
                continue
            yield self.scan(package, package.pop("happened", at))
            self.go_on(package, at)

    def be_born(self, now):
        self.next_birth = self.next_birth or now
        while self.next_birth <= now:
            carrier = self.dice.choice(tuple(CARRIERS))
            prefix, digits = CARRIERS[carrier]
            number = f"{prefix}{next(self.numbers):0{digits}d}"
            package = {"carrier": carrier, "tracking_number": number, "stop": 0, "service": self.dice.choice(SERVICES)}
            self.hang(self.next_birth, package)
            self.next_birth += self.dice.expovariate(self.births)

    def hang(self, at, package):
        heapq.heappush(self.agenda, (at, id(package), package))

    def go_on(self, package, at):
        package["stop"] += 1
        luck = self.dice.random()
        if package["stop"] == len(ROUTE) or luck < 0.01:
            return
        rest = REST if luck < 0.04 else PAUSE
        self.hang(at + self.dice.uniform(*rest), package)

    def outage(self, carrier, now):
        """Until when the carrier's feed is silent, if it is."""
        until = self.outages.get(carrier, 0.0)
        if until <= now and self.dice.random() < 0.00005:
            until = self.outages[carrier] = now + self.dice.uniform(*OUTAGE)
            print(f"the feed of {carrier} falls silent for {until - now:.0f} s", flush=True)
        return until if until > now else None

    def scan(self, package, happened):
        facility, country = self.dice.choice(FACILITIES)
        return {
            "tracking_number": package["tracking_number"],
            "carrier": package["carrier"],
            "milestone": ROUTE[package["stop"]],
            "event_time": int(happened * 1000),
            "service": package["service"],
            "facility": facility,
            "country": country,
        }


def main():
    wanted = arguments()
    stopped = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.append(True))
    # The partitioner of Java clients: all scans of a package go to one partition.
    producer = Producer({
        "bootstrap.servers": wanted.bootstrap,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "linger.ms": 50,
    })
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(str(error))

    network = Network(random.Random(wanted.seed), wanted.scans_per_second)
    end = time.time() + wanted.seconds if wanted.seconds else None
    sent = 0
    while not stopped and not failures and (end is None or time.time() < end):
        for scan in network.due(time.time()):
            key = f"{scan['carrier']}:{scan['tracking_number']}"
            producer.produce(wanted.topic, json.dumps(scan), key, on_delivery=delivered)
            sent += 1
        producer.poll(0.1)
    unsent = producer.flush(30)
    print(f"{sent - unsent} scans sent", flush=True)
    if failures or unsent:
        sys.exit(f"scans were not delivered: {failures[0] if failures else f'{unsent} in time'}")


if __name__ == "__main__":
    main()
