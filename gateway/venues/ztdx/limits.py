"""ZTDX's limits: exchangeInfo shows 2400 weight a minute; whose they are, and their headers, no page confirms."""

from gateway.limits.limit import Limit

ZTDX = (Limit(name="ip_weight", scope="ip", capacity=2400, window=60.0),)
