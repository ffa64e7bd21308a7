/* TCP echo: one epoll loop, level-triggered, one shared buffer; what a client does not take is kept for it.
 * The yardstick for `sockkit serve`. Prints "listening on 127.0.0.1:PORT". */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 64 * 1024, EVENTS = 1024 };

struct client { int fd; char *pending; size_t size, done; };

static char buffer[ROOM];

static void end(struct client *c) { close(c->fd); free(c->pending); free(c); }

static void watch(int ep, struct client *c, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &event);
}

static int drain(int ep, struct client *c) {
    ssize_t n = send(c->fd, c->pending + c->done, c->size - c->done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    c->done += n;
    if (c->done == c->size) {
        free(c->pending);
        c->pending = NULL;
        watch(ep, c, EPOLLIN);
    }
    return 0;
}

static int serve(int ep, struct client *c) {
    ssize_t n = recv(c->fd, buffer, ROOM, MSG_DONTWAIT);
    if (n == 0) return -1;
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    ssize_t sent = send(c->fd, buffer, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        if (errno != EAGAIN) return -1;
        sent = 0;
    }
    if (sent < n) {
        c->size = n - sent;
        c->done = 0;
        c->pending = malloc(c->size);
        memcpy(c->pending, buffer + sent, c->size);
        watch(ep, c, EPOLLOUT);
    }
    return 0;
}

int main(void) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, length) || listen(listener, 128)) return perror("listen"), 1;
    getsockname(listener, (struct sockaddr *)&here, &length);
    fprintf(stderr, "listening on 127.0.0.1:%d\n", ntohs(here.sin_port));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(ep, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                    c = calloc(1, sizeof *c);
                    c->fd = fd;
                    event = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
                }
            } else if (c->pending ? drain(ep, c) : serve(ep, c)) {
                end(c);
            }
        }
    }
}
