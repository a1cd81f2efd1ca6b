/*
 * The yardstick: a bare libmilter milter in C that does one LMDB get for each recipient, and nothing else.
 *
 *   milter fill DB            reads addresses from stdin, one a line, into a new LMDB environment
 *   milter serve DB SOCKET    serves on SOCKET (unix:/path) until SIGTERM
 *
 * A key is 16 bytes: two FNV-1a hashes of the lower-cased address. A recipient whose key is there gets 550.
 * The only event it asks for is RCPT; as any milter without more callbacks it then waits for the end of the message.
 */

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmilter/mfapi.h>
#include <lmdb.h>

#define KEY_OCTETS 16
#define MAP_SIZE ((size_t)16 << 30)

static MDB_env *env;
static MDB_dbi dbi;

static void die(const char *what, int code)
{
    fprintf(stderr, "%s: %s\n", what, code ? mdb_strerror(code) : "failed");
    exit(1);
}

static void check(const char *what, int code)
{
    if (code != 0)
        die(what, code);
}

static void key_of(const char *address, size_t length, unsigned char *key)
{
    uint64_t one = 0xcbf29ce484222325u, two = 0x84222325cbf29ce4u;

    for (size_t i = 0; i < length; i++) {
        unsigned char octet = (unsigned char)tolower((unsigned char)address[i]);
        one = (one ^ octet) * 0x100000001b3u;
        two = (two ^ octet) * 0x100000001b3u;
    }
    memcpy(key, &one, sizeof one);
    memcpy(key + sizeof one, &two, sizeof two);
}

static void open_environment(const char *folder, unsigned flags)
{
    MDB_txn *txn;

    check("mdb_env_create", mdb_env_create(&env));
    check("mdb_env_set_mapsize", mdb_env_set_mapsize(env, MAP_SIZE));
    check("mdb_env_set_maxreaders", mdb_env_set_maxreaders(env, 1024));
    check(folder, mdb_env_open(env, folder, flags, 0644));
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, flags & MDB_RDONLY, &txn));
    check("mdb_dbi_open", mdb_dbi_open(txn, NULL, 0, &dbi));
    check("mdb_txn_commit", mdb_txn_commit(txn));
}

static int compare_keys(const void *left, const void *right)
{
    return memcmp(left, right, KEY_OCTETS);
}

static void fill(void)
{
    unsigned char *keys = NULL;
    char *line = NULL;
    size_t count = 0, room = 0, size = 0;
    ssize_t length;
    MDB_txn *txn;

    while ((length = getline(&line, &size, stdin)) > 0) {
        if (count == room) {
            room = room ? room * 2 : 1 << 16;
            keys = realloc(keys, room * KEY_OCTETS);
            if (keys == NULL)
                die("memory", 0);
        }
        key_of(line, (size_t)length - (line[length - 1] == '\n'), keys + count++ * KEY_OCTETS);
    }
    qsort(keys, count, KEY_OCTETS, compare_keys);
    check("mdb_txn_begin", mdb_txn_begin(env, NULL, 0, &txn));
    for (size_t i = 0; i < count; i++) {
        unsigned char record[KEY_OCTETS] = {0};
        MDB_val key = {KEY_OCTETS, keys + i * KEY_OCTETS}, value = {sizeof record, record};
        check("mdb_put", mdb_put(txn, dbi, &key, &value, MDB_APPEND));
    }
    check("mdb_txn_commit", mdb_txn_commit(txn));
}

static int is_listed(const char *recipient)
{
    unsigned char octets[KEY_OCTETS];
    size_t length = strlen(recipient);
    MDB_val key = {sizeof octets, octets}, value;
    MDB_txn *txn;
    int code;

    if (length >= 2 && recipient[0] == '<') {
        recipient++;
        length -= 2;
    }
    key_of(recipient, length, octets);
    if ((code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn)) != 0)
        return code;
    code = mdb_get(txn, dbi, &key, &value);
    mdb_txn_abort(txn);
    return code;
}

static sfsistat on_recipient(SMFICTX *context, char **arguments)
{
    switch (is_listed(arguments[0])) {
    case MDB_NOTFOUND:
        return SMFIS_CONTINUE;
    case 0:
        smfi_setreply(context, "550", "5.7.1", "recipient suppressed");
        return SMFIS_REJECT;
    default:
        return SMFIS_TEMPFAIL;
    }
}

int main(int count, char **arguments)
{
    struct smfiDesc milter = {
        .xxfi_name = "bare", .xxfi_version = SMFI_VERSION, .xxfi_flags = 0, .xxfi_envrcpt = on_recipient};

    if (count == 3 && strcmp(arguments[1], "fill") == 0) {
        open_environment(arguments[2], MDB_NOSYNC);
        fill();
        mdb_env_close(env);
        return 0;
    }
    if (count != 4 || strcmp(arguments[1], "serve") != 0) {
        fprintf(stderr, "usage: %s fill DB | serve DB SOCKET\n", arguments[0]);
        return 2;
    }
    /* Any thread may read: libmilter's workers are many, and LMDB binds a reader slot to a thread by default. */
    open_environment(arguments[2], MDB_RDONLY | MDB_NOTLS);
    if (smfi_register(milter) != MI_SUCCESS || smfi_setconn(arguments[3]) != MI_SUCCESS)
        die("libmilter", 0);
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
