"""ZTDX perpetuals: POST /fapi/v1/leverage, in the form of Binance's futures with a JSON body."""
