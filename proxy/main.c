/* SPDX-License-Identifier: Apache-2.0 */
/* The lintel program: prints its version. */
#include <stdio.h>

int main(void)
{
    puts(PACKAGE_STRING);
    return 0;
}
