/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Credentials for logins: the public key for systemd's ssh units (systemd.system-credentials(7), ssh.ephemeral-authorized_keys-all) and for root's
 * own file (ssh.authorized_keys.root), where PID 1 reports (vmm.notify_socket) and journald sends to (journal.forward_to_socket). Without --coco= they travel as SMBIOS strings, as with
 * systemd-vmspawn: an initrd that cannot import credentials does not matter to them. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "resolve-parts.h"
#include "secret-file.h"
#include "strutil.h"

#define PUBLIC_KEY_MAX (64u * 1024u)

/* sshd reads the file as the user who logs in, and the credentials of a service are root's alone: each connection gets a copy that everyone
 * may read. systemd-vmspawn passes a drop-in of this name for the same reason. */
static const char dropin_id[] = "systemd.unit-dropin.sshd-vsock@.service";
static const char dropin[] =
                "[Service]\n"
                "ImportCredential=ssh.ephemeral-authorized_keys-all\n"
                "RuntimeDirectory=sshd-vsock-%i\n"
                "ExecStartPre=-install -m 0444 %d/ssh.ephemeral-authorized_keys-all %t/sshd-vsock-%i/authorized_keys\n"
                "ExecStart=\n"
                "ExecStart=-sshd -i -o \"AuthorizedKeysFile %t/sshd-vsock-%i/authorized_keys .ssh/authorized_keys\"\n";

static const char *const key_begins[] = { "ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-" };

/* A private key in its place would be in the guest, and under --coco= in the clear on the host. */
static int check_key(const SecretBuf *key, const char *path, char **reterr) {
        const char *text = key->size > 0 ? (const char *) key->data : "";
        const char *end = memchr(text, '\n', key->size);
        bool known = false;

        if (memmem(text, key->size, "PRIVATE KEY", strlen("PRIVATE KEY")))
                return error_set(reterr, -EINVAL,
                                "--pass-ssh-key: '%s' is a private key: pass the public one, '%s.pub'", path,
                                path);
        for (size_t i = 0; i < ELEMENTSOF(key_begins); i++)
                known = known ||
                                (key->size > strlen(key_begins[i]) &&
                                                memcmp(text, key_begins[i], strlen(key_begins[i])) == 0);
        if (!known || !memchr(text, ' ', end ? (size_t) (end - text) : key->size) ||
                        memchr(text, 0, key->size))
                return error_set(reterr, -EINVAL,
                                "--pass-ssh-key: '%s' is not a public key of OpenSSH (a line such as 'ssh-ed25519 AAAA...'); 'ssh-keygen' makes one",
                                path);
        return 0;
}

static int add_one(CredentialSet *set, const CredentialSet *given, const char *id, const void *data,
                size_t size, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf value = {};
        int r;

        /* The user's own one counts. */
        if (credential_set_find(given, id))
                return 0;
        r = secret_buf_copy(&value, data, size);
        return r < 0 ? r : credential_set_add(set, id, &value, reterr);
}

static int add_key(const char *path, bool asked, const CredentialSet *given, CredentialSet *set,
                char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf key = {};
        int r = secret_buf_read_path(&key, path, PUBLIC_KEY_MAX);

        if (r < 0)
                return error_set(reterr, r, "--pass-ssh-key: cannot read '%s': %s", path, strerror(-r));
        r = check_key(&key, path, reterr);
        if (r >= 0)
                r = add_one(set, given, "ssh.ephemeral-authorized_keys-all", key.data, key.size, reterr);
        if (r >= 0)
                r = add_one(set, given, dropin_id, dropin, strlen(dropin), reterr);
        /* For an ssh server that systemd does not start: only on request, since it stays in the guest's disk. */
        if (r >= 0 && asked)
                r = add_one(set, given, "ssh.authorized_keys.root", key.data, key.size, reterr);
        return r;
}

bool resolve_login_apart(const VmConfig *config) {
        return !vm_config_confidential(config) && config->credential_transport == TRANSPORT_AUTO;
}

int resolve_login(const VmConfig *config, const LaunchLogin *login, const CredentialSet *given,
                CredentialSet *set, char **reterr) {
        const char *path = config->ssh_key ?: login ? login->key : NULL;
        char address[64];
        int r = 0;

        if (config->forward_journal) {
                uint32_t port = login && login->journal_port ? login->journal_port
                                                             : vm_config_journal_port(config);

                (void) snprintf(address, sizeof(address), "vsock:2:%u", port);
                r = add_one(set, given, "journal.forward_to_socket", address, strlen(address), reterr);
        }
        if (r >= 0 && path)
                r = add_key(path, config->pass_ssh_key == TRISTATE_YES, given, set, reterr);
        if (r < 0 || !login || login->notify_port == 0)
                return r;
        (void) snprintf(address, sizeof(address), "vsock-stream:2:%u", login->notify_port);
        return add_one(set, given, "vmm.notify_socket", address, strlen(address), reterr);
}
