/* crowd COUNT: so many processes that do nothing, their pids on standard output, one a line. They stand for launchers
 * where thousands are needed at once, and share nearly all of their memory. SIGTERM ends it when it has ended them all,
 * and whatever else ends it ends them too. It makes do with fewer if the system grants no more: whoever reads counts
 * the lines. */
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
    int signal;

    if (argc != 2)
        return 2;
    wanted = atol(argv[1]);
    children = calloc(wanted, sizeof *children);
    if (children == NULL)
        return 1;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    for (count = 0; count < wanted; count++) {
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
