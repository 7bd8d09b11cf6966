/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of passwords as htpasswd, openssl passwd and mkpasswd make them. */
#include "unit.h"

#include <stdlib.h>

#include <crypt.h>

#include "filters/password.h"

static bool fits(const char *password, const char *hash)
{
    return lt_password_verify(lt_str_c(password), lt_str_c(hash));
}

static void known_hashes(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        /* The vectors of bcrypt's and SHA-crypt's authors. */
        {"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
        {"U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"},
        {"Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
        {"Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnI"
                         "FNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
        {"Hello world!", "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbM"
                         "CVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
        /* openssl passwd -apr1 -salt SALT PASSWORD */
        {"password", "$apr1$8sFt66rZ$CwW5jnBTcCMb9M9VZMRdm/"},
        {"", "$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie."},
        {"a longer password of more than sixteen bytes", "$apr1$x$Q8Yg2OX7am4dxB9rOJysZ0"},
    };
    for (size_t i = 0; i < lt_countof(rows); i++) {
        if (!fits(rows[i][0], rows[i][1])) {
            fail_msg("\"%s\" is not the password of %s", rows[i][0], rows[i][1]);
        }
        assert_false(fits("something else", rows[i][1]));
        assert_false(fits("", rows[i][1]) && rows[i][0][0] != '\0');
    }
}

static void fresh_hashes(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        unsigned long cost;
    } kinds[] = {{"$2b$", 4}, {"$2y$", 4}, {"$5$", 1000}, {"$6$", 1000}, {"$y$", 1}};
    for (size_t i = 0; i < lt_countof(kinds); i++) {
        char setting[CRYPT_GENSALT_OUTPUT_SIZE];
        struct crypt_data *data = calloc(1, sizeof(*data));
        assert_non_null(
            crypt_gensalt_rn(kinds[i].kind, kinds[i].cost, NULL, 0, setting, (int)sizeof(setting)));
        const char *hash = crypt_rn("geheim \xc3\xa4", setting, data, (int)sizeof(*data));
        assert_non_null(hash);
        assert_true(fits("geheim \xc3\xa4", hash));
        assert_false(fits("geheim \xc3\xb6", hash));
        free(data);
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "empty"},
        {"secret", "none of bcrypt"},
        {"rl.3StKT.4T8M", "none of bcrypt"}, /* DES */
        {"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "none of bcrypt"},
        {"$gy$j9T$x$y", "none of bcrypt"},
        {"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "htpasswd -B"},
        {"$2y$17$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "over 16"},
        {"$2y$xx$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "no hash of bcrypt"},
        {"$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "no hash of bcrypt"},
        {"$2y$05$short", "no hash of bcrypt"},
        {"$6$rounds=5000001$salt$x", "5,000,000"},
        {"$6$rounds=99999999999999999999$salt$x", "no number"},
        {"$5$rounds=x$salt$x", "no number"},
        {"$y$jBT$salt$x", "32 MB"},
        {"$y$j9z$salt$x", "32 MB"},
        {"$y$j9T5$salt$x", "does not know"},
        {"$y$k9T$salt$x", "does not know"},
        {"$y$", "does not know"},
        {"$apr1$$xnuq6O9dyNZ9pOtjn3q8M.", "no hash of $apr1$"},
        {"$apr1$123456789$xnuq6O9dyNZ9pOtjn3q8M.", "no hash of $apr1$"},
        {"$apr1$salt$short", "no hash of $apr1$"},
        {"$apr1$", "no hash of $apr1$"},
    };
    const char *why;
    for (size_t i = 0; i < lt_countof(rows); i++) {
        if (lt_password_check(lt_str_c(rows[i][0]), &why) || strstr(why, rows[i][1]) == NULL) {
            fail_msg("%s: \"%s\" should have \"%s\"", rows[i][0], why, rows[i][1]);
        }
        assert_false(fits("secret", rows[i][0]));
    }
    char hash[LT_PASSWORD_HASH_MAX + 2] = "$6$";
    memset(hash + 3, 'a', sizeof(hash) - 4);
    assert_false(lt_password_check(lt_str_c(hash), &why));
    assert_false(lt_password_check(lt_str("$6$a\0b", 6), &why));
}

static void odd_passwords(void **state)
{
    (void)state;
    const char *hash = "$apr1$8sFt66rZ$CwW5jnBTcCMb9M9VZMRdm/";
    char password[LT_PASSWORD_MAX + 1] = "";
    memset(password, 'p', sizeof(password));
    assert_false(lt_password_verify(lt_str(password, sizeof(password)), lt_str_c(hash)));
    assert_false(lt_password_verify(lt_str("password\0", 9), lt_str_c(hash)));
    assert_false(lt_password_verify(LT_STR_NONE, lt_str_c(hash)));
    /* The right form and no such salt: libcrypt refuses. */
    assert_false(fits("x", "$6$sa:lt$x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hashes),
        cmocka_unit_test(fresh_hashes),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(odd_passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
