"""Binance's error codes, one row a code; the futures products (fapi, papi) and sapi differ, so each has its own table.

Source: the "Error Codes" pages of the three products. A code that stands in neither table refuses the command: asking
again for what the venue has just refused is how budgets and bans are lost.
"""

from gateway.venues.codes import Code

_COMMON = (
    Code("-1000", "UNKNOWN", "ambiguous", "An unknown error occurred while processing the request."),
    Code("-1002", "UNAUTHORIZED", "unauthorised", "Not authorised to execute this request."),
    Code("-1003", "TOO_MANY_REQUESTS", "throttled", "Too many requests, or banned until a time."),
    Code("-1006", "UNEXPECTED_RESP", "ambiguous", "Execution status unknown."),
    Code("-1007", "TIMEOUT", "ambiguous", "Timeout; send status and execution status unknown."),
    Code("-1008", "SERVER_BUSY", "unavailable", "Throttled by system-level protection; not counted in limits."),
    Code("-1010", "ERROR_MSG_RECEIVED", "refused", "The matching engine answered with an error."),
    Code("-1011", "NON_WHITE_LIST", "unauthorised", "This address may not use this route."),
    Code("-1015", "TOO_MANY_ORDERS", "throttled", "Too many new orders."),
    Code("-1016", "SERVICE_SHUTTING_DOWN", "refused", "This service is no longer available."),
    Code("-1020", "UNSUPPORTED_OPERATION", "refused", "This operation is not supported."),
    Code("-1021", "INVALID_TIMESTAMP", "clock", "Outside of the receive window, or over 1000 ms ahead."),
    Code("-1022", "INVALID_SIGNATURE", "unauthorised", "Signature not valid; never asked again blindly."),
    Code("-1099", "NOT_FOUND", "unauthorised", "Not found, unauthenticated, or unauthorised."),
    Code("-1100", "ILLEGAL_CHARS", "refused", "Illegal characters in a parameter."),
    Code("-1101", "TOO_MANY_PARAMETERS", "refused", "Too many or duplicate parameters."),
    Code("-1102", "MANDATORY_PARAM_EMPTY_OR_MALFORMED", "refused", "A mandatory parameter is missing or malformed."),
    Code("-1103", "UNKNOWN_PARAM", "refused", "An unknown parameter was sent."),
    Code("-1104", "UNREAD_PARAMETERS", "refused", "Not all sent parameters were read."),
    Code("-1105", "PARAM_EMPTY", "refused", "A parameter is empty."),
    Code("-1106", "PARAM_NOT_REQUIRED", "refused", "A parameter was sent when not required."),
    Code("-1109", "BAD_ACCOUNT", "refused", "Invalid account."),
    Code("-1121", "BAD_SYMBOL", "refused", "Invalid symbol."),
    Code("-1122", "INVALID_SYMBOL_STATUS", "refused", "Invalid symbol status."),
    Code("-1128", "OPTIONAL_PARAMS_BAD_COMBO", "refused", "Combination of optional parameters invalid."),
    Code("-1130", "INVALID_PARAMETER", "refused", "Data sent for a parameter is not valid."),
    Code("-2008", "BAD_API_ID", "unauthorised", "Invalid API-key id."),
    Code("-2014", "BAD_API_KEY_FMT", "unauthorised", "API-key format invalid."),
    Code("-2015", "REJECTED_MBX_KEY", "unauthorised", "Invalid API-key, address, or permissions for action."),
    Code("-2017", "API_KEYS_LOCKED", "unauthorised", "API keys are locked on this account."),
)

FUTURES = {
    row.code: row
    for row in (
        *_COMMON,
        Code("-1001", "DISCONNECTED", "unavailable", "Internal error, unable to process: definitely not done."),
        Code("-1004", "DUPLICATE_IP", "refused", "This address is already on the white list."),
        Code("-2019", "MARGIN_NOT_SUFFICIENT", "refused", "Margin is insufficient."),
        Code("-2023", "USER_IN_LIQUIDATION", "refused", "User in liquidation mode now."),
        Code("-2027", "MAX_LEVERAGE_RATIO", "refused", "Exceeded the maximum position at this leverage."),
        Code("-2028", "MIN_LEVERAGE_RATIO", "refused", "Leverage is smaller than permitted: margin insufficient."),
        Code("-4027", "INVALID_ACCOUNT_TYPE", "refused", "Invalid account type."),
        Code("-4028", "INVALID_LEVERAGE", "refused", "Leverage is not valid for this symbol."),
        Code("-4046", "NO_NEED_TO_CHANGE_MARGIN_TYPE", "refused", "Of the margin-type endpoint; never from leverage."),
        Code("-4047", "THERE_EXISTS_OPEN_ORDERS", "refused", "Margin type cannot be changed with open orders."),
        Code("-4048", "THERE_EXISTS_QUANTITY", "refused", "Margin type cannot be changed with a position."),
        Code("-4059", "NO_NEED_TO_CHANGE_POSITION_SIDE", "refused", "No need to change position side."),
        Code("-4060", "INVALID_POSITION_SIDE", "refused", "Invalid position side."),
        Code("-4061", "POSITION_SIDE_NOT_MATCH", "refused", "Position side does not match the user's setting."),
        Code("-4141", "SYMBOL_ALREADY_CLOSED", "refused", "Symbol is closed."),
        Code("-4161", "ISOLATED_LEVERAGE_REJECT", "refused", "No reduction in isolated mode with a position."),
        Code("-4167", "NOT_ALLOWED_WITH_ISOLATED", "refused", "Multi-assets mode with isolated symbols."),
        Code("-4168", "ISOLATED_NOT_ALLOWED", "refused", "Isolated margin in multi-assets mode."),
        Code("-4192", "COOLING_OFF_PERIOD", "refused", "Trade forbidden in the cooling-off period."),
        Code("-4202", "ADJUST_LEVERAGE_KYC_FAILED", "refused", "Intermediate verification is required over 20x."),
        Code("-4203", "ADJUST_LEVERAGE_ONE_MONTH_FAILED", "refused", "More than 20x a month after registration."),
        Code("-4205", "ADJUST_LEVERAGE_X_DAYS_FAILED", "refused", "More than 20x some days after registration."),
        Code("-4206", "ADJUST_LEVERAGE_KYC_LIMIT", "refused", "Users of this country are limited."),
        Code("-4208", "ADJUST_LEVERAGE_ACCOUNT_SYMBOL_FAILED", "refused", "Over the position limit service's cap."),
        Code("-4209", "ADJUST_LEVERAGE_SYMBOL_FAILED", "refused", "Over the symbol's maximum."),
        Code("-4400", "TRADING_QUANTITATIVE_RULE", "refused", "Quantitative rules violated: reduce-only."),
        Code("-4401", "LARGE_POSITION_SYM_RULE", "refused", "Large position rule of the symbol: reduce-only."),
        Code("-4402", "COMPLIANCE_BLACK_SYMBOL", "refused", "Not available in this region."),
        Code("-4403", "ADJUST_LEVERAGE_COMPLIANCE", "refused", "Maximum leverage of this region exceeded."),
        Code("-4408", "REDUCE_ONLY_SYMBOL", "refused", "Symbol is reduce-only."),
        Code("-5028", "ME_RECVWINDOW_REJECT", "clock", "The request reached the matching engine too late."),
        Code("-5041", "QUEUEING_TIMEOUT", "throttled", "Timed out waiting in the portfolio-margin queue."),
        Code("-21001", "USER_IS_NOT_UNIACCOUNT", "refused", "Not a portfolio-margin account."),
    )
}

MARGIN = {
    row.code: row
    for row in (
        *_COMMON,
        Code("-1001", "DISCONNECTED", "ambiguous", "Internal error; on sapi its execution status is unknown."),
        Code("-1004", "SERVER_BUSY", "unavailable", "Server is busy."),
        Code("-3000", "INNER_FAILURE", "ambiguous", "Internal server error of margin."),
        Code("-3003", "ACCOUNT_NOT_EXIST", "refused", "Margin account does not exist."),
        Code("-3004", "TRADE_NOT_ALLOWED", "refused", "Trade not allowed."),
        Code("-3007", "HAS_PENDING_TRANSACTION", "slow", "A pending transaction; try again later."),
        Code("-3014", "ACCOUNT_BANNED", "refused", "Borrow is banned for this account."),
        Code("-3021", "ASSET_NOT_ALLOWED", "refused", "Margin account is not allowed to trade this pair."),
        Code("-3022", "ACCOUNT_TRADING_BANNED", "refused", "This account's trading is banned."),
        Code("-3023", "NOT_ALLOWED_AT_MARGIN_LEVEL", "refused", "Not possible at the current margin level."),
        Code("-3026", "BAD_PARAMETER", "refused", "Our input parameter is wrong."),
        Code("-3028", "NOT_A_MARGIN_PAIR", "refused", "Not a valid margin pair."),
        Code("-3037", "PNL_CLEARING", "slow", "Profit and loss is being cleared; wait."),
        Code("-3044", "SYSTEM_BUSY", "unavailable", "System busy."),
        Code("-3999", "ONLY_FOR_INVITED_USERS", "refused", "This function is only for invited users."),
        Code("-4028", "WITHDRAWAL_FEE", "refused", "On sapi a withdrawal-fee error, no leverage error."),
        Code("-4046", "AGREEMENT_NOT_CONFIRMED", "refused", "On sapi: the agreement is not confirmed."),
    )
}
