/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The four files of a session, under sevctl's names: NAME_tik.bin, NAME_tek.bin (16 bytes each), NAME_godh.b64, NAME_session.b64 (base64 text). */

#include "attest-session.h"
#include "macro.h"

typedef enum SessionFile {
        SESSION_FILE_TIK,
        SESSION_FILE_TEK,
        SESSION_FILE_GODH,
        SESSION_FILE_SESSION,
        _SESSION_FILE_MAX,
} SessionFile;

/* Owned; NULL: out of memory. */
char *session_file_path(const char *folder, const char *name, SessionFile file);

/* All four or none, 0600, and what is there already stays: -EEXIST with an error message. remedy: what that error message advises. */
_warn_unused_result_ int session_files_write(const char *folder, const char *name, const SevSession *session,
                const char *remedy, char **reterr);
/* The keys into *ret, which the caller keeps in locked memory; and the session itself. */
_warn_unused_result_ int session_files_read(const char *folder, const char *name, SevKeys *ret,
                uint8_t ret_blob[static SEV_SESSION_SIZE], char **reterr);
