// libsandbox for Linux: the functions of Apple's library, by sbtool.
//
// Profiles are compiled to the bytes that Apple's compiler of macOS 14.4.1 makes, as far as sbtool's
// documentation says so, and enforced by Linux's kernel. None of Apple's code or text is in it. The
// functions are those that are publicly reported of Apple's library; only sandbox_init and
// sandbox_free_error are in a public header there.
//
// Every function may be called from any thread. A string is read up to a bound that its function names,
// and refused if it is longer. No function ends the process.
//
// Written by cbindgen from libsandbox/src; `BLESS=1 cargo test -p sbtool-libsandbox --test header`.

#ifndef SANDBOX_H
#define SANDBOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if !defined(__linux__) || !defined(__LP64__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "this libsandbox is for Linux on x86-64 and aarch64; a Mac has its own, which is meant to be used there"
#endif

// Flag of sandbox_init: the profile is named, and is one of those built in.
#define SANDBOX_NAMED 1

// Type for sandbox_check: no further argument.
#define SANDBOX_FILTER_NONE 0

// Type for sandbox_check: a path. This number and those below are publicly reported, not from a public
// header of Apple's.
#define SANDBOX_FILTER_PATH 1

// Type for sandbox_check: a Mach service known to all.
#define SANDBOX_FILTER_GLOBAL_NAME 2

// Type for sandbox_check: a Mach service known to a session.
#define SANDBOX_FILTER_LOCAL_NAME 3

// Type for sandbox_check: the application an Apple event goes to.
#define SANDBOX_FILTER_APPLEEVENT_DESTINATION 4

// Type for sandbox_check: a right.
#define SANDBOX_FILTER_RIGHT_NAME 5

// Type for sandbox_check: a domain of preferences.
#define SANDBOX_FILTER_PREFERENCE_DOMAIN 6

// Type for sandbox_check: a kernel extension.
#define SANDBOX_FILTER_KEXT_BUNDLE_ID 7

// Flag of sandbox_check's type: a path that is not spelled canonically is refused.
#define SANDBOX_CHECK_CANONICAL 536870912

// Flag of sandbox_check's type: a denial is not recorded. Here none ever is.
#define SANDBOX_CHECK_NO_REPORT 1073741824

// Parameters of a profile: opaque.
struct sandbox_params;

// A compiled profile. sandbox_apply takes one made by hand as well: builtin null, and a blob. The layout is
// the publicly reported one of Apple's library.
struct sandbox_profile {
    // Null.
    char *builtin;
    // The bytes that Apple's compiler makes.
    uint8_t *data;
    // How many there are.
    size_t size;
};

// A compiled profile.
typedef struct sandbox_profile *sandbox_profile_t;

// Parameters of a profile, as `(param "NAME")` finds them.
typedef struct sandbox_params *sandbox_params_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Compiles the text of a profile (at most 64 MB). `params` may be null, which is something else than an
// empty list: patterns may then have variables in them.
//
// Returns a profile for sandbox_free_profile; or null, with errno, and with a text for sandbox_free_error at
// `error`, which is null otherwise. `error` itself may be null.
//
// # Safety
// `data` is null or a C string, `error` null or a place for a pointer.
sandbox_profile_t sandbox_compile_string(const char *data,
                                         sandbox_params_t params,
                                         char **error);

// Compiles a file; otherwise as sandbox_compile_string.
//
// # Safety
// `path` is null or a C string, `error` null or a place for a pointer.
sandbox_profile_t sandbox_compile_file(const char *path, sandbox_params_t params, char **error);

// Compiles a profile by its name, with or without ".sb". There are sbtool's own stand-ins for what profiles
// import on a Mac, which say the like in other words. Otherwise as sandbox_compile_string.
//
// # Safety
// `name` is null or a C string, `error` null or a place for a pointer.
sandbox_profile_t sandbox_compile_named(const char *name,
                                        sandbox_params_t params,
                                        char **error);

// Makes an empty list of parameters, for sandbox_free_params. Null, with errno, where there are too many.
sandbox_params_t sandbox_create_params(void);

// Sets a parameter (name and value at most 1 MB, UTF-8; at most 4,096 of them); one of the same name is
// replaced. Returns 0, or -1 with errno.
//
// # Safety
// `key` and `value` are null or C strings.
int sandbox_set_param(sandbox_params_t params,
                      const char *key,
                      const char *value);

// Frees parameters. Null is nothing to free.
void sandbox_free_params(sandbox_params_t params);

// Puts this process, and all that it starts, under a compiled profile: one of sandbox_compile_*, or one made
// by hand whose `data` is a blob of macOS 14.4.
//
// Returns 0, or -1 with errno, and then nothing is in force: EPERM where the process is under a profile
// already, or where the profile is one that a Mac refuses to apply; ENOSYS where the kernel lacks what is
// needed; EINVAL for what is no profile.
//
// # Safety
// `profile` is null or leads to a profile, whose `data` is null or has `size` bytes.
int sandbox_apply(sandbox_profile_t profile);

// Frees a profile of sandbox_compile_*. Null is nothing to free.
//
// # Safety
// `profile` is null or came from sandbox_compile_*, and was not freed before.
void sandbox_free_profile(sandbox_profile_t profile);

// Compiles a profile and puts this process, and all that it starts, under it: its text, or with
// SANDBOX_NAMED in `flags` its name.
//
// Returns 0, or -1 with errno as sandbox_apply, and a text for sandbox_free_error at `errorbuf`, which may
// itself be null.
//
// # Safety
// `profile` is null or a C string, `errorbuf` null or a place for a pointer.
int sandbox_init(const char *profile,
                 uint64_t flags,
                 char **errorbuf);

// As sandbox_init, with parameters: names and values in turn, a null pointer at the end. `parameters` itself
// may be null, which is something else than an empty list.
//
// # Safety
// As of sandbox_init; `parameters` is null or such an array of C strings.
int sandbox_init_with_parameters(const char *profile,
                                 uint64_t flags,
                                 const char *const *parameters,
                                 char **errorbuf);

// Frees the text of an error. Null is nothing to free.
//
// # Safety
// `errorbuf` is null, or came from a function here and was not freed before.
void sandbox_free_error(char *errorbuf);

// Asks whether a process may do something: this one, or one under the same profile. `type` is one of
// SANDBOX_FILTER_*, with SANDBOX_CHECK_* flags; each but SANDBOX_FILTER_NONE takes one more argument, a C
// string. Without an operation (null): whether the process is under a profile at all.
//
// Returns 0 for allowed (or not under a profile), 1 for denied (or under one), -1 with errno where there is
// no answer: EINVAL for an operation or type that is not known, ESRCH for a process that is not under the
// profile of this one, ENOSYS for another process where this one is under none.
//
// # Safety
// `operation` is null or a C string; `argument` is one where `type` takes one, and is not looked at else.
int sandbox_check(pid_t pid,
                  const char *operation,
                  int type,
                  ...);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SANDBOX_H */
