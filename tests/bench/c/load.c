/* The load: one epoll loop in C, so that it is never the slower side.
 *
 *   load echo PORT CLIENTS SIZE SECONDS     each client has one message under way; round trips
 *   load bulk PORT WINDOW SECONDS           one client, up to WINDOW bytes under way; bytes echoed
 *   load accept PORT CLIENTS SECONDS        connect, one byte there and back, close; CLIENTS at once
 *   load idle PORT CLIENTS ECHOES           CLIENTS connect and are echoed to once; "ready"; after a line on stdin ECHOES
 *                                           round trips, one at a time, each over the next client of a scattered order
 *   load udp PORT WINDOW SIZE SECONDS       WINDOW datagrams under way; replies
 *
 * Prints `name value` lines. What takes longer than a fifth of the time to warm up is measured too.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 1024, SAMPLES = 1 << 22 };

static char buffer[1 << 20];
static int port;
static float *samples;
static long sampled, total; /* total: the warm-up too */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* Sources of their own, so that 28,000 ports an address and TIME_WAIT are no limit. */
static int open_tcp(int flags, int number) {
    int one = 1, sock = socket(AF_INET, SOCK_STREAM | flags, 0);
    if (sock < 0) die("socket");
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002 + number / 2000 % 200)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(sock, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(sock, (struct sockaddr *)&from, sizeof from)) die("bind");
    if (connect(sock, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        close(sock);
        return -1;
    }
    return sock;
}

static void add(int ep, int fd, unsigned events, unsigned long data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void percentiles(void) {
    if (!sampled) return;
    qsort(samples, sampled, sizeof *samples, by_size);
    printf("p50_ms %.4f\np99_ms %.4f\n", samples[sampled / 2] * 1e3, samples[sampled * 99 / 100] * 1e3);
}

static void sample(double seconds) {
    if (sampled < SAMPLES) samples[sampled++] = seconds;
}

/* There and back at once. A server's queue holds 128 clients: the first echo of every 64th says that it has taken them. */
static int round_trip(int fd) {
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (send(fd, buffer, 64, MSG_NOSIGNAL) != 64) return -1;
    return recv(fd, buffer, 64, MSG_WAITALL) == 64 ? 0 : -1;
}

static void echo(int clients, int size, double seconds) {
    int ep = epoll_create1(0), *fds = malloc(clients * sizeof *fds), *got = calloc(clients, sizeof *got);
    double *sent = malloc(clients * sizeof *sent), begun = 0, t = 0;
    long count = 0;
    for (int i = 0; i < clients; i++) {
        if ((fds[i] = open_tcp(0, i)) < 0) die("connect");
        if (i % 64 == 63 && round_trip(fds[i])) die("first echo");
        add(ep, fds[i], EPOLLIN, i);
    }
    double start = now(), warm = start + seconds / 5, end = warm + seconds;
    for (int i = 0; i < clients; i++) {
        sent[i] = now();
        if (send(fds[i], buffer, size, 0) != size) die("send");
    }
    struct epoll_event events[EVENTS];
    while ((t = now()) < end) {
        int n = epoll_wait(ep, events, EVENTS, 10000);
        if (n <= 0) die("no echo for 10 s");
        t = now();
        if (!begun && t >= warm) begun = t, count = 0, sampled = 0;
        for (int k = 0; k < n; k++) {
            int i = events[k].data.u64;
            ssize_t r = recv(fds[i], buffer, size - got[i], 0);
            if (r <= 0) die("recv");
            if ((got[i] += r) < size) continue;
            got[i] = 0;
            count++, total++;
            double at = clients == 1 ? t : now();
            sample(at - sent[i]);
            sent[i] = at;
            if (send(fds[i], buffer, size, 0) != size) die("send");
        }
    }
    printf("rate %.1f\ntotal %ld\n", count / (t - begun), total);
    percentiles();
}

static void bulk(long window, double seconds) {
    int fd = open_tcp(0, 0);
    if (fd < 0) die("connect");
    long long sent = 0, received = 0, base = 0;
    double warm = now() + seconds / 5, end = warm + seconds, begun = 0, t;
    struct pollfd p = {.fd = fd};
    while ((t = now()) < end) {
        if (!begun && t >= warm) begun = t, base = received;
        p.events = POLLIN | (sent - received < window ? POLLOUT : 0);
        if (poll(&p, 1, 10000) <= 0) die("nothing moved for 10 s");
        if (p.revents & POLLIN) {
            ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN)) die("recv");
            if (n > 0) received += n;
        }
        if (p.revents & POLLOUT) {
            ssize_t n = send(fd, buffer, 256 * 1024, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN) die("send");
            if (n > 0) sent += n;
        }
    }
    printf("rate %.1f\n", (received - base) / (t - begun));
}

static int begin(int ep, int *number) {
    int fd = open_tcp(SOCK_NONBLOCK, (*number)++);
    if (fd < 0) die("connect");
    add(ep, fd, EPOLLOUT, (unsigned)fd);
    return fd;
}

static void accepts(int clients, double seconds) {
    int ep = epoll_create1(0), number = getpid() % 400000;
    static double opened[1 << 16];
    long count = 0, failures = 0;
    double warm = now() + seconds / 5, end = warm + seconds, begun = 0, t;
    for (int i = 0; i < clients; i++) opened[begin(ep, &number)] = now();
    struct epoll_event events[EVENTS];
    while ((t = now()) < end) {
        int n = epoll_wait(ep, events, EVENTS, 10000);
        if (n <= 0) die("nobody accepted for 10 s");
        if (!begun && t >= warm) begun = t, count = 0, sampled = 0;
        for (int k = 0; k < n; k++) {
            int fd = events[k].data.u64;
            if (events[k].events & EPOLLOUT) { /* connected: the byte and the end of input */
                if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) failures++;
                shutdown(fd, SHUT_WR);
                struct epoll_event event = {.events = EPOLLIN, .data.u64 = fd};
                epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event);
                continue;
            }
            ssize_t r = recv(fd, buffer, 16, 0);
            if (r == 1) continue; /* the echo; the server's end follows */
            if (r < 0) failures++;
            else count++, total++, sample(now() - opened[fd]);
            close(fd);
            opened[begin(ep, &number)] = now();
        }
    }
    printf("rate %.1f\ntotal %ld\nfailures %ld\n", count / (t - begun), total, failures);
    percentiles();
}

static void idle(int clients, int echoes) {
    int *fds = malloc(clients * sizeof *fds);
    long failures = 0;
    double begun = now();
    for (int i = 0; i < clients; i++) {
        fds[i] = open_tcp(0, i);
        if (fds[i] < 0 || round_trip(fds[i])) failures++;
    }
    printf("opened_s %.3f\nready\n", now() - begun);
    fflush(stdout);
    if (!fgets(buffer, sizeof buffer, stdin)) exit(1);
    memset(buffer, 'x', 64);
    for (long i = 0; i < echoes; i++) {
        int fd = fds[i * 7919 % clients];
        double before = now();
        if (fd < 0 || round_trip(fd)) failures++;
        else sample(now() - before);
    }
    printf("failures %ld\n", failures);
    percentiles();
    printf("done\n");
    fflush(stdout);
    if (!fgets(buffer, sizeof buffer, stdin)) exit(0);
}

static void udp(int window, int size, double seconds) {
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct timeval limit = {.tv_usec = 200000};
    long count = 0, lost = 0;
    if (connect(sock, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    double warm = now() + seconds / 5, end = warm + seconds, begun = 0, t;
    for (int i = 0; i < window; i++) send(sock, buffer, size, 0);
    while ((t = now()) < end) {
        if (!begun && t >= warm) begun = t, count = 0;
        if (recv(sock, buffer, sizeof buffer, 0) == size) {
            count++, total++;
            send(sock, buffer, size, 0);
        } else if (errno == EAGAIN) { /* the window is lost */
            lost += window;
            for (int i = 0; i < window; i++) send(sock, buffer, size, 0);
        } else die("recv");
    }
    printf("rate %.1f\ntotal %ld\nlost %ld\n", count / (t - begun), total, lost);
}

int main(int argc, char **argv) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (argc < 4) return 2;
    samples = malloc(SAMPLES * sizeof *samples);
    memset(buffer, 'x', sizeof buffer);
    const char *mode = argv[1];
    port = atoi(argv[2]);
    if (!strcmp(mode, "echo") && argc == 6) echo(atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
    else if (!strcmp(mode, "bulk") && argc == 5) bulk(atol(argv[3]), atof(argv[4]));
    else if (!strcmp(mode, "accept") && argc == 5) accepts(atoi(argv[3]), atof(argv[4]));
    else if (!strcmp(mode, "idle") && argc == 5) idle(atoi(argv[3]), atoi(argv[4]));
    else if (!strcmp(mode, "udp") && argc == 6) udp(atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
    else return 2;
    return 0;
}
