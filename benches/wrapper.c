/* The minimal program that runs a command and gets its exit status: fork, exec, wait. The cost of `launch` is given as a
 * multiple of this program, started fresh each time and linked as a user would link it. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int status;
    pid_t child;

    if (argc < 2) {
        fprintf(stderr, "usage: wrapper COMMAND [ARG]...\n");
        return 2;
    }
    child = fork();
    if (child < 0) {
        perror("wrapper: fork");
        return 125;
    }
    if (child == 0) {
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    if (waitpid(child, &status, 0) < 0) {
        perror("wrapper: waitpid");
        return 125;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
