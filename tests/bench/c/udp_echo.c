/* UDP echo: recvfrom and sendto, nothing else. Prints "listening on 127.0.0.1:PORT". */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
    static char buffer[65536];
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
    socklen_t length = sizeof here;
    if (bind(sock, (struct sockaddr *)&here, length)) return perror("bind"), 1;
    getsockname(sock, (struct sockaddr *)&here, &length);
    fprintf(stderr, "listening on 127.0.0.1:%d\n", ntohs(here.sin_port));
    for (;;) {
        length = sizeof peer;
        ssize_t n = recvfrom(sock, buffer, sizeof buffer, 0, (struct sockaddr *)&peer, &length);
        if (n >= 0) sendto(sock, buffer, n, 0, (struct sockaddr *)&peer, length);
    }
}
