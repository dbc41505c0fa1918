/* The application of the examples: answers HTTP on port 8080 with its version, and ends at once on SIGTERM.
 *
 *   GET /healthz  -> ok
 *   GET anything  -> the environment variable VERSION ("unversioned" without one)
 *
 * One request at a time is enough for probes and for a person with curl. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Process 1 has no default action for signals, so SIGTERM needs a handler to end it. */
static void end(int signal) { (void)signal; _exit(0); }

static void answer(int client, const char *version) {
    struct timeval patience = {.tv_sec = 2};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char request[1024], response[512];
    ssize_t length = recv(client, request, sizeof request - 1, 0);
    if (length <= 0) return; /* a TCP probe says nothing */
    request[length] = 0;
    const char *body = strncmp(request, "GET /healthz ", 13) == 0 ? "ok" : version;
    int size = snprintf(response, sizeof response,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%.200s\n",
                        strnlen(body, 200) + 1, body);
    if (send(client, response, (size_t)size, MSG_NOSIGNAL) < 0) perror("send");
    shutdown(client, SHUT_WR);
}

int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    const char *version = getenv("VERSION");
    if (!version) version = "unversioned";
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(8080)}; /* IPv4 too */
    struct sockaddr_in address4 = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int on = 1, off = 0, server = socket(AF_INET6, SOCK_STREAM, 0), bound;
    if (server >= 0) {
        setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        bound = bind(server, (struct sockaddr *)&address, sizeof address);
    } else { /* a machine without IPv6 */
        server = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        bound = bind(server, (struct sockaddr *)&address4, sizeof address4);
    }
    if (bound < 0 || listen(server, 16) < 0) {
        perror("cannot listen on port 8080");
        return 1;
    }
    printf("version %s listens on port 8080\n", version);
    fflush(stdout);
    for (;;) {
        int client = accept(server, NULL, NULL);
        if (client < 0) continue;
        answer(client, version);
        close(client);
    }
}
