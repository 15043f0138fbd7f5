/* Opens the real libnvjpeg when one of its functions is first called.
 *
 * nvjpeg-sys asks the linker for -lnvjpeg, which most machines do not have. The archive libnvjpeg.a made of this file
 * and trampolines.c answers to that name, so that programs build and start everywhere, and the real library is looked
 * for only by those who use it.
 */
#define _GNU_SOURCE
#include "loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NVJPEG_STATUS_NOT_INITIALIZED and NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED. */
enum { NOT_INITIALIZED = 1, NOT_SUPPORTED = 9 };
enum { MAX_OFFERED = 8, MAX_TEXT = 2048 };
enum state { UNTRIED, FAILED, LOADED };

/* Newest first. CUDA 11.9 is the oldest with all that we call. */
static const char *const SONAMES[] = {"libnvjpeg.so.13", "libnvjpeg.so.12", "libnvjpeg.so.11", "libnvjpeg.so"};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Written under the mutex, last of all; whoever reads LOADED sees the table. */
static _Atomic int state = UNTRIED;
static void *table[SMOG_NVJPEG_MAX];
/* Under the mutex. */
static char *offered[MAX_OFFERED];
static unsigned num_offered;
static char tried[MAX_TEXT], problem[MAX_TEXT];

static void append(char *text, const char *more) {
    size_t length = strlen(text);
    if (length > 0 && length + 3 < MAX_TEXT) {
        memcpy(text + length, ", ", 3);
        length += 2;
    }
    snprintf(text + length, MAX_TEXT - length, "%s", more);
}

static void *try_open(const char *name) {
    append(tried, name);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *said = dlerror();
        snprintf(problem, MAX_TEXT, "%s", said != NULL ? said : "dlopen gave no reason");
    }
    return library;
}

/* Holding the mutex. */
static void load(void) {
    tried[0] = problem[0] = '\0';
    void *library = NULL;
    const char *wanted = getenv("SMOG_NVJPEG");
    if (wanted != NULL && wanted[0] != '\0') {
        /* Somebody named one: another in its place would be a surprise. */
        library = try_open(wanted);
    } else {
        /* The first reason is of the name that should be there; keep it. */
        char first[MAX_TEXT] = "";
        for (unsigned at = 0; library == NULL && at < sizeof SONAMES / sizeof *SONAMES; at++) {
            library = try_open(SONAMES[at]);
            if (at == 0) {
                memcpy(first, problem, sizeof first);
            }
        }
        for (unsigned at = 0; library == NULL && at < num_offered; at++) {
            library = try_open(offered[at]);
        }
        if (library == NULL && num_offered == 0) {
            memcpy(problem, first, sizeof problem);
        }
    }
    if (library != NULL && dlsym(library, "nvjpegGetProperty") == NULL) {
        snprintf(problem, MAX_TEXT, "it has no function nvjpegGetProperty");
        dlclose(library);
        library = NULL;
    }
    if (library != NULL) {
        for (unsigned at = 0; at < smog_nvjpeg_num_names; at++) {
            table[at] = dlsym(library, smog_nvjpeg_names[at]);
        }
        /* It is never closed: nvJPEG's threads and allocations live as long as the process. */
        atomic_store_explicit(&state, LOADED, memory_order_release);
    } else {
        atomic_store_explicit(&state, FAILED, memory_order_release);
    }
}

/* Opens the library unless that was tried before; 1 if it is there. */
int smog_nvjpeg_load(void) {
    int now = atomic_load_explicit(&state, memory_order_acquire);
    if (now == UNTRIED) {
        pthread_mutex_lock(&mutex);
        if (atomic_load_explicit(&state, memory_order_relaxed) == UNTRIED) {
            load();
        }
        now = atomic_load_explicit(&state, memory_order_relaxed);
        pthread_mutex_unlock(&mutex);
    }
    return now == LOADED;
}

/* Another file to try where the usual names are not found; a failure before is forgotten. 0 if it is too late or there
 * are too many. */
int smog_nvjpeg_offer(const char *path) {
    int taken = 0;
    pthread_mutex_lock(&mutex);
    if (atomic_load_explicit(&state, memory_order_relaxed) != LOADED && num_offered < MAX_OFFERED) {
        char *copy = strdup(path);
        if (copy != NULL) {
            offered[num_offered++] = copy;
            atomic_store_explicit(&state, UNTRIED, memory_order_release);
            taken = 1;
        }
    }
    pthread_mutex_unlock(&mutex);
    return taken;
}

static void copy_text(const char *from, char *to, size_t room) {
    if (room > 0) {
        snprintf(to, room, "%s", from);
    }
}

/* What the last attempt tried, and what the loader said. */
void smog_nvjpeg_report(char *tried_out, size_t tried_room, char *problem_out, size_t problem_room) {
    pthread_mutex_lock(&mutex);
    copy_text(tried, tried_out, tried_room);
    copy_text(problem, problem_out, problem_room);
    pthread_mutex_unlock(&mutex);
}

void *smog_nvjpeg_function(unsigned index) {
    return smog_nvjpeg_load() ? table[index] : NULL;
}

unsigned smog_nvjpeg_missing(void) {
    return smog_nvjpeg_load() ? NOT_SUPPORTED : NOT_INITIALIZED;
}
