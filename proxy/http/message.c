/* SPDX-License-Identifier: Apache-2.0 */
/* Methods and statuses. Any thread. */
#include "http/message.h"

static const struct method {
    struct lt_str name;
    bool idempotent;
} methods[LT_METHOD_COUNT] = {
    [LT_METHOD_UNKNOWN] = {LT_STR_INIT(""), false},
#define X(id, text, is_safe, is_idempotent) [LT_METHOD_##id] = {LT_STR_INIT(text), is_idempotent},
#include "http/method.def"
#undef X
};

struct lt_str lt_method_name(enum lt_method method)
{
    return methods[method].name;
}

enum lt_method lt_method_find(struct lt_str name)
{
    for (unsigned i = LT_METHOD_UNKNOWN + 1; i < LT_METHOD_COUNT; i++) {
        if (lt_str_eq(name, methods[i].name)) {
            return (enum lt_method)i;
        }
    }
    return LT_METHOD_UNKNOWN;
}

bool lt_method_idempotent(enum lt_method method)
{
    return methods[method].idempotent;
}

static const char *const reasons[600] = {
    [100] = "Continue",
    [101] = "Switching Protocols",
    [102] = "Processing",
    [103] = "Early Hints",
    [200] = "OK",
    [201] = "Created",
    [202] = "Accepted",
    [203] = "Non-Authoritative Information",
    [204] = "No Content",
    [205] = "Reset Content",
    [206] = "Partial Content",
    [207] = "Multi-Status",
    [208] = "Already Reported",
    [226] = "IM Used",
    [300] = "Multiple Choices",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [305] = "Use Proxy",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [402] = "Payment Required",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [406] = "Not Acceptable",
    [407] = "Proxy Authentication Required",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [410] = "Gone",
    [411] = "Length Required",
    [412] = "Precondition Failed",
    [413] = "Content Too Large",
    [414] = "URI Too Long",
    [415] = "Unsupported Media Type",
    [416] = "Range Not Satisfiable",
    [417] = "Expectation Failed",
    [421] = "Misdirected Request",
    [422] = "Unprocessable Content",
    [423] = "Locked",
    [424] = "Failed Dependency",
    [425] = "Too Early",
    [426] = "Upgrade Required",
    [428] = "Precondition Required",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [451] = "Unavailable For Legal Reasons",
    [499] = "Client Closed Request",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
    [505] = "HTTP Version Not Supported",
    [506] = "Variant Also Negotiates",
    [507] = "Insufficient Storage",
    [508] = "Loop Detected",
    [511] = "Network Authentication Required",
};

const char *lt_status_reason(unsigned status)
{
    return status < lt_countof(reasons) && reasons[status] != NULL ? reasons[status] : "";
}

bool lt_status_bodiless(unsigned status)
{
    return status / 100 == 1 || status == 204 || status == 304;
}
