/* crowd COUNT SPOOL FIRST: starts COUNT idle processes and prints their pids, one per line. They act as launchers where
 * thousands are needed at once, and share nearly all of their memory. Each holds a launcher's lock on a slot of the
 * spool, the first one on slot FIRST; a file of the spool has 256 slots. On SIGTERM the program ends them all and exits; any other end of the program ends
 * them too. If the system does not permit COUNT processes there are fewer: the reader counts the lines. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    long wanted, count, each;
    pid_t *children;
    sigset_t term;
    int signal, spool;

    if (argc != 4)
        return 2;
    wanted = atol(argv[1]);
    children = calloc(wanted, sizeof *children);
    if (children == NULL)
        return 1;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    for (count = 0; count < wanted; count++) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
        long slot = atol(argv[3]) + count;
        char path[PATH_MAX];

        lock.l_start = slot % 256 * 4096;
        snprintf(path, sizeof path, slot < 256 ? "%s" : "%s.%ld", argv[2], slot / 256);
        /* A separate open file description, kept only by the child. */
        spool = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (spool < 0 || fcntl(spool, F_OFD_SETLK, &lock) != 0) {
            perror("crowd: lock a slot");
            break;
        }
        children[count] = fork();
        if (children[count] < 0) {
            perror("crowd: fork");
            break;
        }
        if (children[count] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(STDOUT_FILENO);
            for (;;)
                pause();
        }
        close(spool);
        printf("%d\n", (int)children[count]);
    }
    fclose(stdout);
    sigwait(&term, &signal);
    for (each = 0; each < count; each++)
        kill(children[each], SIGKILL);
    while (wait(NULL) > 0)
        ;
    return 0;
}
