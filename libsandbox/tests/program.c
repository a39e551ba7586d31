/* In: a folder to write in. Out: 0 if the functions that need no kernel do what a Mac program expects of them,
 * null pointers included; the blobs of some profiles in the folder. Made by tests/program.rs. */

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sandbox.h>

static const char *folder;

#define EXPECT(condition)                                                                        \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);    \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

static void keep(const char *name, sandbox_profile_t profile)
{
    char path[4096];
    FILE *file;
    EXPECT(profile != NULL && profile->builtin == NULL && profile->data != NULL && profile->size != 0);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    EXPECT(file != NULL);
    EXPECT(fwrite(profile->data, 1, profile->size, file) == profile->size);
    EXPECT(fclose(file) == 0);
    sandbox_free_profile(profile);
}

static void compiles(void)
{
    char *error = (char *)1;
    sandbox_params_t params = sandbox_create_params();
    char path[4096];
    FILE *file;

    keep("plain", sandbox_compile_string("(version 1)(deny default)", NULL, &error));
    EXPECT(error == NULL);
    EXPECT(params != NULL);
    EXPECT(sandbox_set_param(params, "HOME", "/elsewhere") == 0);
    EXPECT(sandbox_set_param(params, "HOME", "/private/tmp/home") == 0);
    keep("params", sandbox_compile_string(
        "(version 1)(deny default)(allow file-read* (subpath (param \"HOME\")))", params, &error));
    EXPECT(error == NULL);
    sandbox_free_params(params);
    keep("named", sandbox_compile_named("bsd", NULL, &error));
    EXPECT(error == NULL);

    snprintf(path, sizeof path, "%s/profile.sb", folder);
    file = fopen(path, "w");
    EXPECT(file != NULL && fputs("(version 1)\n(allow default)\n", file) >= 0 && fclose(file) == 0);
    keep("file", sandbox_compile_file(path, NULL, NULL));
}

static void refuses(void)
{
    char *error = NULL;
    char bad[] = "(version 1)\n(allow \xff)";
    sandbox_params_t params = sandbox_create_params();
    struct sandbox_profile nothing = { NULL, NULL, 0 };
    unsigned char noise[64];
    struct sandbox_profile noisy = { NULL, noise, sizeof noise };
    char *error_of_null;

    EXPECT(sandbox_compile_string("(version 1)\n(allow foo)", NULL, &error) == NULL && errno == EINVAL);
    EXPECT(strcmp(error, "unbound variable: foo at <input string>, line 2, column 8\n\n"
                         "Backtrace:\n<input string>:2:8:\n\t(allow foo)") == 0);
    sandbox_free_error(error);
    EXPECT(sandbox_compile_string("(allow default)", NULL, &error) == NULL);
    EXPECT(strcmp(error, "no version specified") == 0);
    sandbox_free_error(error);
    EXPECT(sandbox_compile_string(bad, NULL, &error) == NULL && error != NULL);
    sandbox_free_error(error);
    EXPECT(sandbox_compile_file("/nowhere/at/all.sb", NULL, &error) == NULL && errno == ENOENT);
    EXPECT(strcmp(error, "/nowhere/at/all.sb: No such file or directory") == 0);
    free(error); /* some programs do */
    EXPECT(sandbox_compile_named("no such", NULL, &error) == NULL && errno == ENOENT);
    EXPECT(strcmp(error, "unable to open \"no such\": not found") == 0);
    sandbox_free_error(error);
    EXPECT(sandbox_compile_string("(version 1)(allow default)(allow file-read* (subpath (param \"X\")))", NULL,
                                  NULL) == NULL && errno == EINVAL);

    /* Null, freed, malformed. */
    EXPECT(sandbox_compile_string(NULL, NULL, &error_of_null) == NULL && errno == EINVAL && error_of_null != NULL);
    sandbox_free_error(error_of_null);
    EXPECT(sandbox_compile_file(NULL, NULL, NULL) == NULL && errno == EINVAL);
    EXPECT(sandbox_compile_named(NULL, NULL, NULL) == NULL && errno == EINVAL);
    EXPECT(sandbox_set_param(NULL, "a", "b") == -1 && errno == EINVAL);
    EXPECT(sandbox_set_param(params, NULL, "b") == -1 && errno == EINVAL);
    EXPECT(sandbox_set_param(params, "a", NULL) == -1 && errno == EINVAL);
    EXPECT(sandbox_set_param(params, "a", "\xff") == -1 && errno == EILSEQ);
    sandbox_free_params(params);
    EXPECT(sandbox_set_param(params, "a", "b") == -1 && errno == EINVAL);
    EXPECT(sandbox_compile_string("(version 1)", params, NULL) == NULL && errno == EINVAL);
    sandbox_free_params(params);
    sandbox_free_params(NULL);
    sandbox_free_profile(NULL);
    sandbox_free_error(NULL);
    EXPECT(sandbox_apply(NULL) == -1 && errno == EINVAL);
    EXPECT(sandbox_apply(&nothing) == -1 && errno == EINVAL);
    memset(noise, 0xa5, sizeof noise);
    EXPECT(sandbox_apply(&noisy) == -1 && errno == EINVAL);
    EXPECT(sandbox_init(NULL, 0, &error) == -1 && errno == EINVAL && error != NULL);
    sandbox_free_error(error);
    EXPECT(sandbox_init("(version 1)", 1 << 20, NULL) == -1 && errno == EINVAL);
    EXPECT(sandbox_init("no such", SANDBOX_NAMED, &error) == -1 && error != NULL);
    sandbox_free_error(error);
    EXPECT(sandbox_init("(version 1)(allow foo)", 0, &error) == -1 && strstr(error, "unbound variable: foo") != NULL);
    sandbox_free_error(error);
    {
        const char *odd[] = { "NAME", NULL };
        EXPECT(sandbox_init_with_parameters("(version 1)", 0, odd, &error) == -1 && errno == EINVAL);
        EXPECT(strstr(error, "value") != NULL);
        sandbox_free_error(error);
    }

    /* A Mac refuses to apply what filters messages with a deny; it compiles. */
    {
        sandbox_profile_t gated = sandbox_compile_string(
            "(version 1)(allow iokit-open-user-client (apply-message-filter (deny iokit-external-method)))", NULL, NULL);
        EXPECT(gated != NULL);
        EXPECT(sandbox_apply(gated) == -1 && errno == EPERM);
        sandbox_free_profile(gated);
    }
}

static void checks(void)
{
    /* This process is under no profile. */
    EXPECT(sandbox_check(getpid(), NULL, SANDBOX_FILTER_NONE) == 0);
    EXPECT(sandbox_check(getpid(), "mach-lookup", SANDBOX_FILTER_GLOBAL_NAME, "com.example") == 0);
    EXPECT(sandbox_check(getpid(), "file-read-data", SANDBOX_FILTER_PATH | SANDBOX_CHECK_NO_REPORT, "/etc/hosts") == 0);
    EXPECT(sandbox_check(getpid(), "file-read-data", SANDBOX_FILTER_PATH | SANDBOX_CHECK_CANONICAL, "/etc/../etc/hosts") == 1);
    EXPECT(sandbox_check(getpid(), "file-read-dat", SANDBOX_FILTER_NONE) == -1 && errno == EINVAL);
    EXPECT(sandbox_check(getpid(), "file-read-data", 99, "x") == -1 && errno == EINVAL);
    EXPECT(sandbox_check(getpid(), "file-read-data", SANDBOX_FILTER_PATH, NULL) == -1 && errno == EINVAL);
    EXPECT(sandbox_check(-1, "file-read-data", SANDBOX_FILTER_NONE) == -1 && errno == ESRCH);
}

/* On a small stack, from several threads at once. */
static void *worker(void *unused)
{
    int round;
    (void)unused;
    for (round = 0; round < 20; round++) {
        sandbox_profile_t profile = sandbox_compile_string("(version 1)(allow default)", NULL, NULL);
        EXPECT(profile != NULL && profile->size == 416);
        sandbox_free_profile(profile);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t list[4];
    pthread_attr_t small;
    /* As small as may be; the least differs by processor. */
    size_t least = PTHREAD_STACK_MIN > 65536 ? PTHREAD_STACK_MIN : 65536;
    int index;
    EXPECT(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, least) == 0);
    for (index = 0; index < 4; index++)
        EXPECT(pthread_create(&list[index], &small, worker, NULL) == 0);
    for (index = 0; index < 4; index++)
        EXPECT(pthread_join(list[index], NULL) == 0);
}

int main(int argc, char **argv)
{
    EXPECT(argc == 2);
    folder = argv[1];
    compiles();
    refuses();
    checks();
    threads();
    return 0;
}
