"""OKX's published limits: 20 requests per 2 seconds and user id for set-leverage, and as many for its read-back.

Each sub-account is a user of its own. No answer tells the use. Source: the endpoints' pages ("Rate limit").
"""

from gateway.limits.limit import Limit

WINDOW = 2.0

OKX = (
    Limit(name="uid_set_leverage", scope="account", capacity=20, window=WINDOW),
    Limit(name="uid_leverage_info", scope="account", capacity=20, window=WINDOW),
    Limit(name="ip_time", scope="ip", capacity=10, window=WINDOW),
)
