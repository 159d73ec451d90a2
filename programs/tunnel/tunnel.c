/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn-tunnel`: the public end for attestation services behind NAT, and the owner's end for those that have none. It forwards connections,
 * whose TLS it cannot end. */

#include "tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic-file.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "secret.h"
#include "strutil.h"

#define CONNECTIONS_DEFAULT 512u
#define PER_TUNNEL_DEFAULT  128u
#define PER_TUNNEL_NONE     UINT_MAX
#define CONNECTIONS_MAX     8192u
#define NAME_MAX_LENGTH     189u /* TUNNEL_NAME_MAX with an ID before it */

#define AT(member) offsetof(TunnelArgs, member)

static const OptionRow rows[] = {
        { "listen", 'l', OPTION_REQUIRED, "ADDRESS:PORT", "Relay",
                        "Listen on this numeric address (default: [::]:443); a socket\npassed by the service manager takes precedence",
                        NULL, option_set_string, AT(listen), 0 },
        { "name", 0, OPTION_REQUIRED, "NAME", NULL, "Use this domain name: hosts reach a tunnel at ID.NAME",
                        NULL, option_set_string, AT(name), 0 },
        { "tls-cert", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Use this certificate chain for NAME, PEM, towards owners", "@file",
                        option_set_string, AT(tls_cert), 0 },
        { "tls-key", 0, OPTION_REQUIRED, "FILE", NULL, "Use this private key of the relay, PEM", "@file",
                        option_set_string, AT(tls_key), 0 },
        { "connections", 0, OPTION_REQUIRED, "N", NULL,
                        "Limit the hosts' connections of all tunnels (default: 512)", NULL,
                        option_set_unsigned, AT(connections), 0 },
        { "per-tunnel", 0, OPTION_REQUIRED, "N", NULL,
                        "Limit the hosts' connections of one tunnel (default: 128)", NULL,
                        option_set_unsigned, AT(per_tunnel), 0 },
        { "tunnels", 0, OPTION_REQUIRED, "FILE", "Tunnels",
                        "Read tunnels and the hashes of their tokens from this file\n(default: " TUNNEL_FILE_DEFAULT
                        ")",
                        "@file", option_set_string, AT(tunnels), 0 },
        { "token-file", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Write the token of the new tunnel to this new file", "@file", option_set_string,
                        AT(token_file), 0 },
        { "to", 0, OPTION_REQUIRED, "ADDRESS:PORT", "Owner's end",
                        "Forward hosts to the service at this numeric address, or at\nunix:PATH: a balancer, for example",
                        NULL, option_set_string, AT(to), 0 },
        { "proxy-protocol", 0, OPTION_NONE, NULL, NULL,
                        "Send a PROXY header (v1) with the host's address, as the\nrelay says it, at the beginning of each connection",
                        NULL, option_set_true, AT(proxy_protocol), 0 },
        { "via", 0, OPTION_REQUIRED, "URL", NULL, "Connect to this relay: https://HOST[:PORT]/ID", NULL,
                        option_set_string, AT(via), 0 },
        { "via-token-file", 0, OPTION_REQUIRED, "FILE", NULL, "Identify to the relay by this token", "@file",
                        option_set_string, AT(via_token), 0 },
        { "via-ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Trust these CA certificates (PEM) for the relay (default: the\nsystem's trust store)",
                        "@file", option_set_string, AT(via_ca), 0 },
        VERB_HELP_ROWS,
};

static const OptionCommand commands[] = {
        { "serve", NULL, "Forward hosts' connections to their owners' services",
                        "listen name tls-cert tls-key connections per-tunnel tunnels" },
        { "add", "ID", "Add a tunnel, which hosts reach at ID.NAME", "tunnels token-file" },
        { "connect", NULL, "Forward hosts of a relay to a service that hosts cannot reach",
                        "to proxy-protocol via via-token-file via-ca" },
};

static const OptionRule rules[] = {
        { "tls-cert", "tls-key", NULL, NULL },
        { "tls-key", "tls-cert", NULL, NULL },
};

static const OptionTable table = {
        .program = "cvmspawn-tunnel",
        .arguments = "COMMAND [ID]",
        .summary = "Make attestation services behind NAT reachable, without being able to read what they say.",
        .zone = "host",
        .epilog = "Exit status: 0 success, or stopped by a signal; 1 usage error or failure.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

/* The token first: an entry whose token nobody has would have to be removed by hand. */
static int write_files(const TunnelArgs *a, const char *text, const char *token, char **reterr) {
        const char *given = a->tunnels ?: TUNNEL_FILE_DEFAULT;
        _cleanup_free_ char *real = realpath(given, NULL);
        const char *list = real ?: given; /* a link stays one */
        struct stat st;
        mode_t mode = stat(list, &st) < 0 ? 0644 : st.st_mode & 0777;
        int r = file_write_atomic(a->token_file, token, strlen(token), 0600, 0);

        if (r < 0)
                return error_set(reterr, r, "--token-file: cannot create '%s': %s", a->token_file,
                                r == -EEXIST ? "it exists already" : strerror(-r));
        r = file_write_atomic(list, text, strlen(text), mode, ATOMIC_FILE_REPLACE);
        if (r >= 0)
                return 0;
        (void) unlink(a->token_file);
        return error_set(reterr, r, "--tunnels: cannot write '%s': %s", list, strerror(-r));
}

/* Two that add at once would each lose the other's line. Held until the descriptor is closed. */
static int lock_list(const TunnelArgs *a, char **reterr) {
        const char *list = a->tunnels ?: TUNNEL_FILE_DEFAULT, *slash = strrchr(list, '/');
        _cleanup_free_ char *folder = slash ? strndup(list, (size_t) (slash - list) + 1) : strdup(".");
        int fd;

        if (!folder)
                return -ENOMEM;
        fd = fd_open(folder, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set(reterr, fd, "--tunnels: cannot open the directory '%s': %s", folder,
                                strerror(-fd));
        if (flock(fd, LOCK_EX) < 0) {
                int r = -errno;

                (void) fd_close(fd);
                return error_set(reterr, r, "--tunnels: cannot lock '%s': %s", folder, strerror(-r));
        }
        return fd;
}

int tunnel_add(const TunnelArgs *a, const char *id, char **reterr) {
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *text = NULL, *digest = NULL, *all = NULL, *ignored = NULL;
        _cleanup_(tunnel_list_done) TunnelList list = {};
        uint8_t token[TUNNEL_TOKEN_SIZE], hash[SHA256_SIZE];
        char *hex = NULL, *line = NULL;
        int r;

        if (!a->token_file)
                return error_set(reterr, -EINVAL,
                                "add: requires --token-file=FILE, which is given to the owner");
        if (tunnel_id_check(id) < 0)
                return error_set(reterr, -EINVAL,
                                "'%s': expected 1 to %u lower-case letters, digits and hyphens", id,
                                TUNNEL_ID_MAX);
        if (streq(a->token_file, a->tunnels ?: TUNNEL_FILE_DEFAULT))
                return error_set(reterr, -EINVAL, "--token-file and --tunnels name the same file");
        lock = lock_list(a, reterr);
        if (lock < 0)
                return lock;
        r = tunnel_read_file(a, &list, &text, &ignored);
        if (r < 0 && r != -ENOENT)
                return error_set(reterr, r, "%s", ignored ?: strerror(-r));
        if (tunnel_list_find(&list, id))
                return error_set(reterr, -EEXIST, "'%s' is in the list already: remove its line first", id);
        if (list.n >= TUNNEL_LIST_MAX)
                return error_set(reterr, -E2BIG, "the list has %u tunnels already", TUNNEL_LIST_MAX);
        r = crypto_random(NULL, token, sizeof(token));
        if (r >= 0)
                r = hash_digest(HASH_SHA256, token, sizeof(token), hash);
        if (r < 0)
                return r;
        hex = hex_encode(token, sizeof(token));
        digest = hex_encode(hash, sizeof(hash));
        erase_memory(token, sizeof(token));
        if (!hex || !digest || asprintf(&line, "%s\n", hex) < 0) {
                erase_string_free(hex);
                return -ENOMEM;
        }
        erase_string_free(hex);
        if (asprintf(&all, "%s%s%s %s\n", text ?: "", !text || !*text || endswith(text, "\n") ? "" : "\n",
                            id, digest) < 0) {
                all = NULL;
                r = -ENOMEM;
        } else
                r = write_files(a, all, line, reterr);
        erase_string_free(line);
        return r;
}

static void init(void *arguments) {
        TunnelArgs *a = arguments;

        a->connections = CONNECTIONS_DEFAULT;
        a->per_tunnel = PER_TUNNEL_NONE;
}

static int run(void *arguments, char **words, char **reterr) {
        TunnelArgs *a = arguments;
        unsigned most;
        bool add;

        if (!words)
                return error_set(reterr, -EINVAL, "expected a command: serve, add or connect, see --help");
        add = streq(words[0], "add");
        if (strv_length(words) != (add ? 2u : 1u))
                return error_set(reterr, -EINVAL, "%s: expected %s", words[0],
                                add ? "one ID" : "no arguments");
        if (add)
                return tunnel_add(a, words[1], reterr);
        if (streq(words[0], "connect"))
                return !a->to || !a->via || !a->via_token
                                ? error_set(reterr, -EINVAL,
                                                  "connect: requires --to=, --via= and --via-token-file=")
                                : tunnel_connect(a, reterr);
        if (!a->name || !a->tls_cert)
                return error_set(reterr, -EINVAL, "serve: requires --name=, --tls-cert= and --tls-key=");
        if (strlen(a->name) > NAME_MAX_LENGTH || !a->name[0] ||
                        a->name[strspn(a->name, "abcdefghijklmnopqrstuvwxyz0123456789-.")])
                return error_set(reterr, -EINVAL,
                                "--name: expected a domain name of at most %u lower-case letters, digits, hyphens and dots, not '%s'",
                                NAME_MAX_LENGTH, a->name);
        if (a->connections == 0 || a->connections > CONNECTIONS_MAX)
                return error_set(reterr, -EINVAL, "--connections: expected 1 to %u", CONNECTIONS_MAX);
        most = MIN(a->connections, TUNNEL_HOSTS_MAX);
        if (a->per_tunnel == PER_TUNNEL_NONE)
                a->per_tunnel = MIN(PER_TUNNEL_DEFAULT, most);
        if (a->per_tunnel == 0 || a->per_tunnel > most)
                return error_set(reterr, -EINVAL, "--per-tunnel: expected 1 to %u", most);
        return tunnel_serve(a, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(TunnelArgs),
        .common = AT(common),
        .init = init,
        .run = run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
