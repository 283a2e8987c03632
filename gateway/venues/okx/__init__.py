"""OKX: POST /api/v5/account/set-leverage, in the eleven scenarios of its page."""
