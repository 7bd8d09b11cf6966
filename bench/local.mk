# SPDX-License-Identifier: Apache-2.0
# Side-by-side measurements. bench/run builds its own optimised copies of these programs; they are
# built here so that they keep compiling without warnings.
noinst_PROGRAMS += bench/backend bench/floor bench/handshake bench/restarts/load
bench_backend_SOURCES = bench/backend.c
bench_backend_LDADD =
bench_floor_SOURCES = bench/floor.c
bench_floor_LDADD =
bench_handshake_SOURCES = bench/handshake.c
bench_handshake_LDADD = $(OPENSSL_LIBS)
bench_restarts_load_SOURCES = bench/restarts/load.c
bench_restarts_load_LDADD =

EXTRA_DIST += bench/README.md bench/run bench/balance bench/filters bench/slow bench/clients.py bench/proxies.py bench/peers \
	bench/restarts/run bench/restarts/app.py bench/restarts/peers

# "make bench BENCH_FLAGS='--only tls --json out.json'" measures the lintel of this build.
bench: lintel
	$(PYTHON) $(top_srcdir)/bench/run --lintel ./lintel $(BENCH_FLAGS)
.PHONY: bench
