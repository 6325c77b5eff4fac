/* stamp FILE MILLISECONDS: sleeps, then writes the wall-clock time in nanoseconds to FILE as its last action and exits
 * without exit handlers or buffers. So the end of the command is known to a few microseconds. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec pause, now;
    int64_t nanoseconds;
    long milliseconds;
    int file;

    if (argc != 3)
        return 2;
    file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0)
        return 1;
    milliseconds = atol(argv[2]);
    pause.tv_sec = milliseconds / 1000;
    pause.tv_nsec = milliseconds % 1000 * 1000000;
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_REALTIME, &now);
    nanoseconds = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (write(file, &nanoseconds, sizeof nanoseconds) != sizeof nanoseconds)
        _exit(1);
    _exit(0);
}
