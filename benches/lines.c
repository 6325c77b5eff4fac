/* lines BYTES LENGTH: prints BYTES bytes as fast as possible, in lines of LENGTH bytes, or with 0 in one unterminated line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char buffer[1 << 16];

int main(int argc, char **argv)
{
    long left, line, full = sizeof buffer;

    if (argc != 3) {
        fprintf(stderr, "usage: lines BYTES LINE\n");
        return 2;
    }
    left = atol(argv[1]);
    line = atol(argv[2]);
    memset(buffer, 'x', sizeof buffer);
    if (line > 0) {
        full -= full % line;
        for (long at = line - 1; at < full; at += line)
            buffer[at] = '\n';
    }
    while (left > 0) {
        ssize_t written = write(1, buffer, left < full ? left : full);
        if (written < 0) {
            perror("lines");
            return 1;
        }
        left -= written;
    }
    return 0;
}
