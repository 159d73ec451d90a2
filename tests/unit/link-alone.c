/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Links one whole room and its declared dependencies; that it links is the test. */
int main(void) {
        return 0;
}
