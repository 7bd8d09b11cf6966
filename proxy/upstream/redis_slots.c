/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/redis_slots.h"

#include "upstream/redis_reply.h"

/* CRC16 with the polynomial 0x1021, from 0. */
static unsigned crc16(struct lt_str s)
{
    unsigned crc = 0;
    for (size_t i = 0; i < s.len; i++) {
        crc ^= (unsigned)(unsigned char)s.p[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
        }
        crc &= 0xffff;
    }
    return crc;
}

unsigned lt_redis_slot(struct lt_str key)
{
    size_t open = lt_str_chr(key, '{', 0);
    size_t close = open != SIZE_MAX ? lt_str_chr(key, '}', open + 1) : SIZE_MAX;
    if (close != SIZE_MAX && close > open + 1) {
        key = lt_str_sub(key, open + 1, close);
    }
    return crc16(key) % LT_REDIS_SLOTS;
}

/* Commands whose first key is not their first argument: where it is, or where their number is. */
static const struct {
    struct lt_str name;
    unsigned key, number;
} special[] = {
    {LT_STR_INIT("EVAL"), 3, 2},       {LT_STR_INIT("EVALSHA"), 3, 2},
    {LT_STR_INIT("EVAL_RO"), 3, 2},    {LT_STR_INIT("EVALSHA_RO"), 3, 2},
    {LT_STR_INIT("FCALL"), 3, 2},      {LT_STR_INIT("FCALL_RO"), 3, 2},
    {LT_STR_INIT("ZUNION"), 2, 1},     {LT_STR_INIT("ZINTER"), 2, 1},
    {LT_STR_INIT("ZDIFF"), 2, 1},      {LT_STR_INIT("ZINTERCARD"), 2, 1},
    {LT_STR_INIT("SINTERCARD"), 2, 1}, {LT_STR_INIT("LMPOP"), 2, 1},
    {LT_STR_INIT("ZMPOP"), 2, 1},      {LT_STR_INIT("OBJECT"), 2, 0},
    {LT_STR_INIT("MEMORY"), 2, 0},     {LT_STR_INIT("XINFO"), 2, 0},
    {LT_STR_INIT("XGROUP"), 2, 0},     {LT_STR_INIT("BITOP"), 2, 0},
    {LT_STR_INIT("MIGRATE"), 3, 0},
};

/* The argument behind the word STREAMS. */
static struct lt_str key_of_streams(struct lt_str command)
{
    unsigned n = lt_redis_command_args(command);
    for (unsigned i = 1; i + 1 < n; i++) {
        if (lt_str_eq_nocase(lt_redis_command_arg(command, i), LT_STR("STREAMS"))) {
            return lt_redis_command_arg(command, i + 1);
        }
    }
    return LT_STR_NONE;
}

unsigned lt_redis_command_slot(struct lt_str command)
{
    struct lt_str name = lt_redis_command_arg(command, 0);
    struct lt_str key = lt_redis_command_arg(command, 1);
    for (size_t i = 0; i < lt_countof(special); i++) {
        if (lt_str_eq_nocase(name, special[i].name)) {
            struct lt_str number = lt_redis_command_arg(command, special[i].number);
            bool none = special[i].number > 0 && lt_str_eq_c(number, "0");
            key = none ? LT_STR_NONE : lt_redis_command_arg(command, special[i].key);
        }
    }
    if (lt_str_eq_nocase(name, LT_STR("XREAD")) || lt_str_eq_nocase(name, LT_STR("XREADGROUP"))) {
        key = key_of_streams(command);
    }
    return key.p != NULL ? lt_redis_slot(key) : LT_REDIS_SLOTS;
}
