"""Requests as they are signed, and the secrets in them."""

from gateway.transport.messages import HttpRequest

SIGNED = "/fapi/v1/leverage?symbol=%E6%B5%8B%E8%AF%95USDT&leverage=5&timestamp=1&signature=W9FJ%2BGsm%2F%3D%3D"
SECRETS = ("W9FJ", "signature", "topsecret")
POST = HttpRequest(method="POST", target=SIGNED, headers={"X-MBX-APIKEY": "topsecret"})
GET = HttpRequest(method="GET", target=SIGNED, headers={"X-MBX-APIKEY": "topsecret"})
