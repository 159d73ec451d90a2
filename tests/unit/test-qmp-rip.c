/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Texts captured from QEMU 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1), TCG, -machine q35: "info registers" up to CR4 (the
 * debug, FPU and XMM lines are left out) and "x". The 64-bit ones come from AmdSev OVMF 2026.08 that refused a kernel
 * whose hash in the table was wrong; the 16-bit ones from the reset vector and from a boot sector FA F3 90 EB FC. */

#include "test.h"

#include <errno.h>

#include "qmp-rip.h"

static const char refused_registers[] =
                "\r\n"
                "CPU#0\r\n"
                "RAX=0000000000000000 RBX=000000001e9ff7d8 RCX=000000000000001f RDX=00000000000000a1\r\n"
                "RSI=0000000000000000 RDI=00000000000086fe RBP=000000001fe89ac0 RSP=000000001fe89ab0\r\n"
                "R8 =0000000000000020 R9 =000000005e0ec513 R10=00000000835ecf5f R11=000000005e0ec513\r\n"
                "R12=0000000000810c76 R13=000000001fe89b08 R14=0000000000000000 R15=0000000000d607c0\r\n"
                "RIP=000000001ec7a148 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n"
                "ES =0030 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
                "CS =0038 0000000000000000 ffffffff 00af9a00 DPL=0 CS64 [-R-]\r\n"
                "SS =0030 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
                "DS =0030 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
                "FS =0030 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
                "GS =0030 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"
                "LDT=0000 0000000000000000 0000ffff 00008200 DPL=0 LDT\r\n"
                "TR =0048 000000001f5dd058 00000067 00008900 DPL=0 TSS64-avl\r\n"
                "GDT=     000000001f5dd000 00000057\r\n"
                "IDT=     000000001bb8af90 00000fff\r\n"
                "CR0=80010033 CR2=0000000000000000 CR3=000000001f801000 CR4=00000668\r\n";

static const char refused_code[] = /* x /48xb 0x1ec7a130 */
                "000000001ec7a130: 0x05 0x33 0x42 0x00 0x00 0x48 0x89 0x45\r\n"
                "000000001ec7a138: 0xf8 0x48 0x8b 0x05 0x28 0x42 0x00 0x00\r\n"
                "000000001ec7a140: 0x48 0x39 0x45 0xf8 0x75 0x04 0xf3 0x90\r\n"
                "000000001ec7a148: 0xeb 0xef 0xc9 0xc3 0x31 0xc0 0x48 0x85\r\n"
                "000000001ec7a150: 0xc9 0x74 0x1b 0x4c 0x8d 0x42 0xff 0x48\r\n"
                "000000001ec7a158: 0x85 0xd2 0x74 0x12 0x66 0x83 0x3c 0x41\r\n";

static const char reset_registers[] = "\r\n"
                                      "CPU#0\r\n"
                                      "EAX=00000000 EBX=00000000 ECX=00000000 EDX=00060fb1\r\n"
                                      "ESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000\r\n"
                                      "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n"
                                      "ES =0000 00000000 0000ffff 00009300\r\n"
                                      "CS =f000 ffff0000 0000ffff 00009b00\r\n"
                                      "SS =0000 00000000 0000ffff 00009300\r\n"
                                      "DS =0000 00000000 0000ffff 00009300\r\n"
                                      "FS =0000 00000000 0000ffff 00009300\r\n"
                                      "GS =0000 00000000 0000ffff 00009300\r\n"
                                      "LDT=0000 00000000 0000ffff 00008200\r\n"
                                      "TR =0000 00000000 0000ffff 00008b00\r\n"
                                      "GDT=     00000000 0000ffff\r\n"
                                      "IDT=     00000000 0000ffff\r\n"
                                      "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\r\n";

static const char boot_sector_registers[] =
                "\r\n"
                "CPU#0\r\n"
                "EAX=0000aa55 EBX=00000000 ECX=00000000 EDX=00000080\r\n"
                "ESI=00000000 EDI=00000000 EBP=00000000 ESP=00006f04\r\n"
                "EIP=00007c03 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n"
                "ES =0000 00000000 0000ffff 00009300\r\n"
                "CS =0000 00000000 0000ffff 00009b00\r\n"
                "SS =0000 00000000 0000ffff 00009300\r\n"
                "DS =0000 00000000 0000ffff 00009300\r\n"
                "FS =0000 00000000 0000ffff 00009300\r\n"
                "GS =0000 00000000 0000ffff 00009300\r\n"
                "LDT=0000 00000000 0000ffff 00008200\r\n"
                "TR =0000 00000000 0000ffff 00008b00\r\n"
                "GDT=     00000000 00000000\r\n"
                "IDT=     00000000 000003ff\r\n"
                "CR0=00000010 CR2=00000000 CR3=00000000 CR4=00000000\r\n";

static const char boot_sector_code[] = /* x /48xb 0x7beb */
                "0000000000007beb: 0x00 0x00 0x00 0x00 0x00 0x00 0x00 0x00\r\n"
                "0000000000007bf3: 0x00 0x00 0x00 0x00 0x00 0x00 0x00 0x00\r\n"
                "0000000000007bfb: 0x00 0x00 0x00 0x00 0x00 0xfa 0xf3 0x90\r\n"
                "0000000000007c03: 0xeb 0xfc 0x00 0x00 0x00 0x00 0x00 0x00\r\n"
                "0000000000007c0b: 0x00 0x00 0x00 0x00 0x00 0x00 0x00 0x00\r\n"
                "0000000000007c13: 0x00 0x00 0x00 0x00 0x00 0x00 0x00 0x00\r\n";

static void refused_boot(_unused_ void **state) {
        uint8_t bytes[48];
        QmpRip rip;
        size_t n;

        assert_ok(qmp_rip_parse(refused_registers, &rip));
        assert_int_equal(rip.mode, QMP_CPU_64);
        assert_int_equal(rip.ip, 0x1ec7a148);
        assert_int_equal(rip.linear, 0x1ec7a148);

        assert_ok(qmp_code_parse(refused_code, 0x1ec7a130, bytes, sizeof(bytes), &n));
        assert_int_equal(n, sizeof(bytes));
        assert_int_equal(bytes[0], 0x05);
        assert_int_equal(bytes[47], 0x41);
        assert_true(deadloop_bytes(rip.linear, 0x1ec7a130, bytes, sizeof(bytes)));

        /* The loop reaches from 0x1ec7a139 to its jump at 0x1ec7a148. */
        assert_false(deadloop_bytes(0x1ec7a138, 0x1ec7a130, bytes, sizeof(bytes)));
        assert_true(deadloop_bytes(0x1ec7a139, 0x1ec7a130, bytes, sizeof(bytes)));
        assert_true(deadloop_bytes(0x1ec7a146, 0x1ec7a130, bytes, sizeof(bytes)));
        assert_false(deadloop_bytes(0x1ec7a149, 0x1ec7a130, bytes, sizeof(bytes)));
        assert_false(deadloop_bytes(0, 0x1ec7a130, bytes, sizeof(bytes)));
        assert_false(deadloop_bytes(UINT64_MAX, 0x1ec7a130, bytes, sizeof(bytes)));
}

static void real_mode(_unused_ void **state) {
        uint8_t bytes[48];
        QmpRip rip;
        size_t n;

        assert_ok(qmp_rip_parse(reset_registers, &rip));
        assert_int_equal(rip.mode, QMP_CPU_16_OR_32);
        assert_int_equal(rip.ip, 0xfff0);
        assert_int_equal(rip.linear, 0xfffffff0);

        assert_ok(qmp_rip_parse(boot_sector_registers, &rip));
        assert_int_equal(rip.linear, 0x7c03);
        assert_ok(qmp_code_parse(boot_sector_code, 0x7beb, bytes, sizeof(bytes), &n));
        assert_int_equal(n, sizeof(bytes));
        assert_true(deadloop_bytes(rip.linear, 0x7beb, bytes, sizeof(bytes)));
}

static void loops_by_bytes(_unused_ void **state) {
        static const struct {
                uint8_t bytes[8];
                uint64_t offset; /* of the instruction pointer */
                bool expected;
        } cases[] = {
                { { 0xf3, 0x90, 0xeb, 0xfc }, 0, true }, /* pause; jmp pause */
                { { 0xf3, 0x90, 0xeb, 0xfc }, 2, true },
                { { 0xf3, 0x90, 0xeb, 0xfc }, 3, false }, /* amid the jump */
                { { 0xf3, 0x90, 0xeb, 0xfe }, 2, false }, /* jmp to itself, the pause not in it */
                { { 0xf3, 0x90, 0xeb, 0xfd }, 0, false },
                { { 0xf3, 0x90, 0xeb, 0x04 }, 0, false }, /* forward */
                { { 0xf3, 0x90, 0xeb, 0x7f }, 2, false },
                { { 0xf3, 0x90, 0x75, 0xfc }, 0, false }, /* a loop with a condition: waits for something */
                { { 0x90, 0x90, 0xeb, 0xfc }, 0, false }, { { 0x48, 0xf3, 0x90, 0xeb, 0xfb }, 0, true },
                { { 0, 0, 0, 0, 0xf3, 0x90, 0xeb, 0xfc }, 4, true }, /* at the very end */
                { { 0, 0, 0, 0, 0, 0xf3, 0x90, 0xeb }, 5, false },   /* cut off */
        };

        FOREACH_ARRAY(t, cases, ELEMENTSOF(cases))
                assert_int_equal(deadloop_bytes(0x1000 + t->offset, 0x1000, t->bytes, 8), t->expected);
        for (size_t n = 0; n < 4; n++)
                assert_false(deadloop_bytes(0x1000, 0x1000, cases[0].bytes, n));
}

/* A loop longer than 16 bytes whose pause is far from the instruction pointer is a different loop. */
static void far_from_pause(_unused_ void **state) {
        uint8_t bytes[64] = { [40] = 0xf3, 0x90, 0xeb, 0xd4 /* back to 0 */ };

        assert_false(deadloop_bytes(0x1000, 0x1000, bytes, sizeof(bytes)));
        assert_false(deadloop_bytes(0x1000 + 23, 0x1000, bytes, sizeof(bytes)));
        assert_true(deadloop_bytes(0x1000 + 24, 0x1000, bytes, sizeof(bytes)));
}

static void registers_not_understood(_unused_ void **state) {
        static const char *const texts[] = {
                "",
                "RIP=000000001ec7a148 RFL=00000246\r\n",                                     /* no CS */
                "CS =0038 0000000000000000 ffffffff 00af9a00\r\n",                           /* no RIP */
                "RIP=00000001ec7a148 RFL=0\r\nCS =0038 0000000000000000 f\r\n",              /* 15 digits */
                "RIP=000000001ec7a1480 RFL=0\r\nCS =0038 0000000000000000 f\r\n",            /* 17 */
                "RIP=000000001EC7A148 RFL=0\r\nCS =0038 0000000000000000 f\r\n",             /* capitals */
                "RIP=000000001ec7a148 \r\nEIP=0000fff0 \r\nCS =0038 0000000000000000 f\r\n", /* both */
                "RIP=000000001ec7a148 \r\nRIP=000000001ec7a148 \r\nCS =0038 0000000000000000 f\r\n",
                "RIP=000000001ec7a148 \r\nCS =0038 00000000 f\r\n", /* widths differ */
                "unknown command: 'info registers'\r\n",
        };
        QmpRip rip;

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                assert_error(qmp_rip_parse(*t, &rip), EBADMSG);
        assert_error(qmp_rip_parse("No CPU available\r\n", &rip), ENODATA);
}

static void code_not_understood(_unused_ void **state) {
        static const char *const texts[] = {
                "", "000000001ec7a130: 0x05 0x33 0x42 0x00 0x00 0x48 0x89\r\n",       /* seven */
                "000000001ec7a130: 0x05 0x33 0x42 0x00 0x00 0x48 0x89 0x45 0x00\r\n", /* nine */
                "000000001ec7a138: 0x05 0x33 0x42 0x00 0x00 0x48 0x89 0x45\r\n",      /* elsewhere */
                "000000001ec7a130: 0x05 0x33 0x42 0x00 0x00 0x48 0x89 0xG5\r\n",
                "000000001ec7a130: 0x05 0x33 0x42 0x00 0x00 0x48 0x89 0x45\r\nmore\r\n",
                "000000001ec7a130: 0x05 0x33 0x42 0x00 0x00 0x48 0x89 0x45", /* cut off */
        };
        uint8_t bytes[8] = { 0xaa };
        size_t n = 77;

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                assert_error(qmp_code_parse(*t, 0x1ec7a130, bytes, sizeof(bytes), &n), EBADMSG);
        assert_int_equal(bytes[0], 0xaa); /* outputs move on success only */
        assert_int_equal(n, 77);
}

/* x /64xb 0xffffffe8, and two more, at the reset vector; QEMU does not pad every address alike. */
static void end_of_memory(_unused_ void **state) {
        static const char partial[] = "00000000ffffffe8: 0x66 0x5b 0x66 0x5e 0x66 0x5f 0x66 0xc3\r\n"
                                      "00000000fffffff0: 0xea 0x5b 0xe0 0x00 0xf0 0x30 0x36 0x2f\r\n"
                                      "00000000fffffff8: 0x32 0x33 0x2f 0x39 0x39 0x00 0xfc 0x00\r\n"
                                      "0000000100000000: Cannot access memory\r\n";
        uint8_t bytes[64];
        size_t n = 0;

        assert_ok(qmp_code_parse(partial, 0xffffffe8, bytes, sizeof(bytes), &n));
        assert_int_equal(n, 24);
        assert_int_equal(bytes[8], 0xea);
        assert_ok(qmp_code_parse(
                        "000ffffffffffff0: Cannot access memory\r\n", 0xffffffffffff0, bytes, 16, &n));
        assert_int_equal(n, 0);
        assert_ok(qmp_code_parse(
                        "fffffffffffffff0: Cannot access memory\r\n", UINT64_MAX - 15, bytes, 16, &n));
        assert_int_equal(n, 0);
        assert_error(qmp_code_parse("Cannot access memory\r\n", 0, bytes, 16, &n), EBADMSG);
        assert_error(qmp_code_parse("0: Cannot access memory\r\n ", 0, bytes, 16, &n), EBADMSG);
}

static void eight_of_ten(_unused_ void **state) {
        const QmpCode hit = { .rip.linear = 0, .size = 4, .bytes = { 0xf3, 0x90, 0xeb, 0xfc } }, miss = {};
        QmpDeadloop d = {};

        for (unsigned i = 0; i < 9; i++) {
                qmp_deadloop_add(&d, &hit);
                assert_false(qmp_deadloop_reached(&d)); /* nine hits, but no full window yet */
        }
        qmp_deadloop_add(&d, &miss);
        assert_true(qmp_deadloop_reached(&d));
        qmp_deadloop_add(&d, &miss);
        assert_true(qmp_deadloop_reached(&d));
        qmp_deadloop_add(&d, &miss);
        assert_false(qmp_deadloop_reached(&d)); /* 7 of the last 10 */
        for (unsigned i = 0; i < 7; i++)
                qmp_deadloop_add(&d, &hit);
        assert_false(qmp_deadloop_reached(&d)); /* 7 hits after 3 misses */
        qmp_deadloop_add(&d, &hit);
        assert_true(qmp_deadloop_reached(&d));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(refused_boot),
                cmocka_unit_test(real_mode),
                cmocka_unit_test(loops_by_bytes),
                cmocka_unit_test(far_from_pause),
                cmocka_unit_test(registers_not_understood),
                cmocka_unit_test(code_not_understood),
                cmocka_unit_test(end_of_memory),
                cmocka_unit_test(eight_of_ten),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
