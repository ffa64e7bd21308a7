/* Every family, type and protocol, one after the other: what the kernel answers, one line a cell. The yardstick. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int families = argc > 1 ? atoi(argv[1]) : 47, types = argc > 2 ? atoi(argv[2]) : 12, protos = argc > 3 ? atoi(argv[3]) : 263;
    for (int family = 0; family < families; family++)
        for (int type = 0; type < types; type++)
            for (int proto = 0; proto < protos; proto++) {
                int fd = socket(family, type, proto);
                if (fd < 0) {
                    printf("%d %d %d %d\n", family, type, proto, errno);
                    continue;
                }
                int got[3] = {-1, -1, -1}, names[3] = {SO_DOMAIN, SO_TYPE, SO_PROTOCOL};
                for (int i = 0; i < 3; i++) {
                    socklen_t size = sizeof got[i];
                    getsockopt(fd, SOL_SOCKET, names[i], &got[i], &size);
                }
                printf("%d %d %d 0 %d %d %d\n", family, type, proto, got[0], got[1], got[2]);
                close(fd);
            }
    return 0;
}
