/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The part of libpq's interface that is used (PostgreSQL's documentation, "libpq - C Library"), which is loaded on need: declared here, so that
 * neither its headers nor its library are needed where no store is in PostgreSQL. */

#include "macro.h"

#define PQ_SONAME "libpq.so.5"

/* Object identifiers of types, which never change: catalog/pg_type.dat. */
#define PQ_BYTEA 17u
#define PQ_INT8  20u
#define PQ_TEXT  25u

typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;

enum {
        PQ_CONNECTION_OK = 0,
        PQ_CONNECTION_BAD = 1,
};

enum {
        PQ_POLLING_FAILED = 0,
        PQ_POLLING_READING = 1,
        PQ_POLLING_WRITING = 2,
        PQ_POLLING_OK = 3,
};

enum {
        PQ_COMMAND_OK = 1,
        PQ_TUPLES_OK = 2,
};

#define PQ_DIAG_SQLSTATE 'C'

typedef struct PQconninfoOption {
        char *keyword, *envvar, *compiled, *val, *label, *dispchar;
        int dispsize;
} PQconninfoOption;

/* FUNCTION(result, name, arguments) */
#define PQ_FUNCTIONS                                                                                        \
        FUNCTION(PQconninfoOption *, PQconninfoParse, (const char *, char **) )                             \
        FUNCTION(PQconninfoOption *, PQconninfo, (PGconn *) )                                               \
        FUNCTION(void, PQconninfoFree, (PQconninfoOption *) )                                               \
        FUNCTION(void, PQfreemem, (void *) )                                                                \
        FUNCTION(PGconn *, PQconnectStartParams, (const char *const *, const char *const *, int) )          \
        FUNCTION(int, PQconnectPoll, (PGconn *) )                                                           \
        FUNCTION(void, PQfinish, (PGconn *) )                                                               \
        FUNCTION(int, PQstatus, (const PGconn *) )                                                          \
        FUNCTION(int, PQsocket, (const PGconn *) )                                                          \
        FUNCTION(int, PQsetnonblocking, (PGconn *, int) )                                                   \
        FUNCTION(int, PQserverVersion, (const PGconn *) )                                                   \
        FUNCTION(char *, PQerrorMessage, (const PGconn *) )                                                 \
        FUNCTION(void *, PQsetNoticeReceiver, (PGconn *, void (*)(void *, const PGresult *), void *) )      \
        FUNCTION(int, PQsendQuery, (PGconn *, const char *) )                                               \
        FUNCTION(int, PQsendPrepare, (PGconn *, const char *, const char *, int, const unsigned *) )        \
        FUNCTION(int, PQsendQueryPrepared,                                                                  \
                        (PGconn *, const char *, int, const char *const *, const int *, const int *, int) ) \
        FUNCTION(int, PQflush, (PGconn *) )                                                                 \
        FUNCTION(int, PQconsumeInput, (PGconn *) )                                                          \
        FUNCTION(int, PQisBusy, (PGconn *) )                                                                \
        FUNCTION(PGresult *, PQgetResult, (PGconn *) )                                                      \
        FUNCTION(void, PQclear, (PGresult *) )                                                              \
        FUNCTION(int, PQresultStatus, (const PGresult *) )                                                  \
        FUNCTION(char *, PQresultErrorField, (const PGresult *, int) )                                      \
        FUNCTION(char *, PQcmdTuples, (PGresult *) )                                                        \
        FUNCTION(int, PQntuples, (const PGresult *) )                                                       \
        FUNCTION(int, PQgetisnull, (const PGresult *, int, int) )                                           \
        FUNCTION(int, PQgetlength, (const PGresult *, int, int) )                                           \
        FUNCTION(char *, PQgetvalue, (const PGresult *, int, int) )

typedef struct PqLibrary {
        void *handle; /* stays for the process */
#define FUNCTION(result, name, arguments) result(*name) arguments;
        PQ_FUNCTIONS
#undef FUNCTION
} PqLibrary;

extern PqLibrary pq;

_warn_unused_result_ int pq_load(char **reterr);
