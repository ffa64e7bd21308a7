/* The two ends of a pipeline, as cheap as an ordinary program's: `pipe pump BYTES` writes to stdout, `pipe drain` reads
 * stdin to its end and prints on stderr how much came. 64 KiB at once is what a pipe holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 64 * 1024 };

int main(int argc, char **argv) {
    static char buffer[ROOM];
    if (argc == 3 && !strcmp(argv[1], "pump")) {
        long long left = atoll(argv[2]);
        while (left > 0) {
            ssize_t n = write(1, buffer, left < ROOM ? left : ROOM);
            if (n < 0) return perror("write"), 1;
            left -= n;
        }
        return 0;
    }
    long long total = 0;
    ssize_t n;
    while ((n = read(0, buffer, ROOM)) > 0) total += n;
    fprintf(stderr, "%lld\n", total);
    return n < 0;
}
