"""Binance: cross margin (sapi), USD-M futures (fapi) and portfolio margin (papi); one family, three endpoints."""
