/* A pg_dump that does its work and then loses the second half of the file, as a disk or a network may: it ends with 0. */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const char *file = NULL;
    int status = 1;
    for (int at = 1; at < argc; at++)
        if (strncmp(argv[at], "--file=", 7) == 0) file = argv[at] + 7;
    if (fork() == 0) {
        execv("/usr/lib/postgresql/18/bin/pg_dump", argv);
        _exit(127);
    }
    wait(&status);
    if (file != NULL) {
        struct stat about;
        if (stat(file, &about) != 0 || truncate(file, about.st_size / 2) != 0) return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
