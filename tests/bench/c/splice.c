/* Bulk without a copy in user space, in C: `splice receive tcp|PATH` (prints "listening on …", one client to stdout) and
 * `splice send PORT|PATH` (stdin to it). What the kernel can do here; the yardstick that nobody is asked to beat. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ROOM = 1 << 20 };

static socklen_t address(const char *text, struct sockaddr_storage *a) {
    memset(a, 0, sizeof *a);
    if (*text == '/') {
        struct sockaddr_un *un = (void *)a;
        un->sun_family = AF_UNIX;
        strncpy(un->sun_path, text, sizeof un->sun_path - 1);
        return sizeof *un;
    }
    struct sockaddr_in *in = (void *)a;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons(atoi(text));
    return sizeof *in;
}

static int is_pipe(int fd) {
    struct stat s;
    return !fstat(fd, &s) && S_ISFIFO(s.st_mode);
}

/* From a to b; where neither is a pipe, through one of our own. */
static int move(int a, int b) {
    int p[2];
    ssize_t n;
    if (is_pipe(a) || is_pipe(b)) {
        while ((n = splice(a, NULL, b, NULL, ROOM, SPLICE_F_MOVE)) > 0) {}
        return n < 0;
    }
    if (pipe(p)) return 1;
    fcntl(p[1], F_SETPIPE_SZ, ROOM);
    while ((n = splice(a, NULL, p[1], NULL, ROOM, SPLICE_F_MOVE)) > 0)
        while (n > 0) {
            ssize_t out = splice(p[0], NULL, b, NULL, n, SPLICE_F_MOVE);
            if (out <= 0) return 1;
            n -= out;
        }
    return n < 0;
}

int main(int argc, char **argv) {
    struct sockaddr_storage a;
    if (argc != 3) return 2;
    int listening = !strcmp(argv[1], "receive");
    socklen_t length = address(listening && *argv[2] != '/' ? "0" : argv[2], &a);
    int sock = socket(a.ss_family, SOCK_STREAM, 0), failed;
    if (listening) {
        if (bind(sock, (struct sockaddr *)&a, length) || listen(sock, 1)) return perror("listen"), 1;
        length = sizeof a;
        getsockname(sock, (struct sockaddr *)&a, &length);
        if (a.ss_family == AF_UNIX) fprintf(stderr, "listening on %s\n", argv[2]);
        else fprintf(stderr, "listening on 127.0.0.1:%d\n", ntohs(((struct sockaddr_in *)&a)->sin_port));
        int client = accept(sock, NULL, NULL);
        failed = move(client, 1);
    } else {
        if (connect(sock, (struct sockaddr *)&a, length)) return perror("connect"), 1;
        if (is_pipe(0)) failed = move(0, sock);
        else {
            ssize_t n;
            while ((n = sendfile(sock, 0, NULL, 1 << 30)) > 0) {}
            failed = n < 0;
        }
        shutdown(sock, SHUT_WR);
        char c;
        while (read(sock, &c, 1) > 0) {}
    }
    if (failed) perror("splice");
    return failed;
}
