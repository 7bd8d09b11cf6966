/* SPDX-License-Identifier: Apache-2.0 */
/* Counts usable processors. Main thread, at start. */
#include "server/cpus.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* The start of a small file; empty when it can't be read. */
static struct lt_str read_small(const char *path, char *mem, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return LT_STR_NONE;
    }
    ssize_t n = read(fd, mem, cap);
    close(fd);
    return lt_str(mem, n > 0 ? (size_t)n : 0);
}

static unsigned share(uint64_t quota, uint64_t period)
{
    return period > 0 && quota > 0
               ? (unsigned)lt_min((quota + period - 1) / period, (uint64_t)UINT_MAX)
               : 0;
}

unsigned lt_cpus_parse_max(struct lt_str text)
{
    struct lt_str rest = lt_str_sub(text, 0, lt_str_chr(text, '\n', 0)), quota, period;
    uint64_t q, p;
    if (!lt_str_next(&rest, ' ', &quota) || !lt_str_next(&rest, ' ', &period) ||
        !lt_str_to_u64(quota, &q) || !lt_str_to_u64(period, &p)) {
        return 0;
    }
    return share(q, p);
}

static unsigned smaller(unsigned a, unsigned b)
{
    return a == 0 ? b : b == 0 ? a : lt_min(a, b);
}

/* The smallest cpu.max from our group up to the root. */
static unsigned from_cgroup2(struct lt_str group)
{
    char path[512], mem[64];
    unsigned n = 0;
    for (;;) {
        snprintf(path, sizeof(path), CGROUP_ROOT "%.*s/cpu.max", LT_STR_ARG(group));
        n = smaller(n, lt_cpus_parse_max(read_small(path, mem, sizeof(mem))));
        size_t slash = lt_str_rchr(group, '/');
        if (slash == SIZE_MAX || group.len <= 1) {
            return n;
        }
        group = lt_str_sub(group, 0, slash);
    }
}

static unsigned from_cgroup1(void)
{
    char mem[64];
    uint64_t quota, period;
    struct lt_str text = read_small(CGROUP_ROOT "/cpu/cpu.cfs_quota_us", mem, sizeof(mem));
    if (!lt_str_to_u64(lt_str_sub(text, 0, lt_str_chr(text, '\n', 0)), &quota)) {
        return 0; /* "-1": no limit */
    }
    text = read_small(CGROUP_ROOT "/cpu/cpu.cfs_period_us", mem, sizeof(mem));
    if (!lt_str_to_u64(lt_str_sub(text, 0, lt_str_chr(text, '\n', 0)), &period)) {
        return 0;
    }
    return share(quota, period);
}

static unsigned from_cgroup(void)
{
    char mem[4096];
    struct lt_str rest = read_small("/proc/self/cgroup", mem, sizeof(mem)), line;
    while (lt_str_next(&rest, '\n', &line)) {
        if (lt_str_starts(line, LT_STR("0::/"))) {
            unsigned n = from_cgroup2(lt_str_sub(line, 3, line.len));
            return n > 0 ? n : from_cgroup1();
        }
    }
    return from_cgroup1();
}

unsigned lt_cpus_usable(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    unsigned usable = smaller(n > 0 ? (unsigned)n : 1, from_cgroup());
    return lt_max(usable, 1u);
}
