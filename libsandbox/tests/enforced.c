/* In: a folder with the files "open" and "closed". Out: 0 if a profile is in force after sandbox_init, here and
 * in a child; 77 where the kernel or the library cannot enforce. Made by tests/program.rs. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sandbox.h>

#define EXPECT(condition)                                                                        \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);    \
            _exit(1);                                                                            \
        }                                                                                        \
    } while (0)

static char open_path[4096], closed_path[4096];

static void is_in_force(void)
{
    int file = open(open_path, O_RDONLY);
    EXPECT(file >= 0);
    close(file);
    errno = 0;
    EXPECT(open(closed_path, O_RDONLY) == -1 && errno == EPERM);
    EXPECT(sandbox_check(getpid(), NULL, SANDBOX_FILTER_NONE) == 1);
    EXPECT(sandbox_check(getpid(), "file-read-data", SANDBOX_FILTER_PATH, open_path) == 0);
    EXPECT(sandbox_check(getpid(), "file-read-data", SANDBOX_FILTER_PATH | SANDBOX_CHECK_NO_REPORT, closed_path) == 1);
    EXPECT(sandbox_check(getpid(), "mach-lookup", SANDBOX_FILTER_GLOBAL_NAME, "com.example.denied") == 1);
    EXPECT(sandbox_check(getpid(), "mach-lookup", SANDBOX_FILTER_GLOBAL_NAME, "com.example.allowed") == 0);
    EXPECT(sandbox_check(1, "file-read-data", SANDBOX_FILTER_PATH, open_path) == -1);
}

/* Whether the system keeps the supervisor from looking into children of this process (Yama). */
static int is_kept_out_of_children(void)
{
    FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "r");
    int scope = file == NULL ? '0' : fgetc(file);
    if (file != NULL)
        fclose(file);
    return scope != '0' && geteuid() != 0;
}

int main(int argc, char **argv)
{
    static const char profile[] =
        "(version 1)(allow default)"
        "(deny file-read* (literal (param \"CLOSED\")))"
        "(deny mach-lookup (global-name \"com.example.denied\"))";
    char *error = NULL;
    const char *parameters[] = { "CLOSED", closed_path, NULL };
    int status, is_kept_out;
    pid_t child;

    EXPECT(argc == 2);
    snprintf(open_path, sizeof open_path, "%s/open", argv[1]);
    snprintf(closed_path, sizeof closed_path, "%s/closed", argv[1]);

    if (sandbox_init_with_parameters(profile, 0, parameters, &error) != 0) {
        int number = errno;
        EXPECT(error != NULL);
        fprintf(stderr, "%s\n", error);
        sandbox_free_error(error);
        return number == ENOSYS ? 77 : 1;
    }
    EXPECT(error == NULL);
    is_in_force();
    is_kept_out = is_kept_out_of_children();

    child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        /* Kept out, it must deny all that it is asked. */
        if (is_kept_out)
            EXPECT(open(open_path, O_RDONLY) == -1 && open(closed_path, O_RDONLY) == -1);
        else
            is_in_force();
        _exit(0);
    }
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);

    /* A second profile is refused, in words that tell why. */
    EXPECT(sandbox_init("(version 1)(allow default)", 0, &error) == -1 && errno == EPERM);
    EXPECT(strstr(error, "already") != NULL && strstr(error, "sandbox") != NULL);
    sandbox_free_error(error);
    return 0;
}
