/* The floor: the least that a function can be. It asks the Runtime API for work
   and answers `{}`, with nothing between it and the kernel. Linked statically. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static char text[1 << 16];

/* Sends a request and reads one answer into `text`. */
static int ask(int api, const char *request, size_t length) {
  if (write(api, request, length) != (ssize_t)length) return -1;
  size_t have = 0;
  for (;;) {
    ssize_t got = read(api, text + have, sizeof text - 1 - have);
    if (got <= 0) return -1;
    have += (size_t)got;
    text[have] = 0;
    char *end = strstr(text, "\r\n\r\n");
    if (!end) continue;
    size_t body = 0;
    char *said = strcasestr(text, "content-length:");
    if (said && said < end) body = strtoul(said + 15, NULL, 10);
    if (have >= (size_t)(end + 4 - text) + body) return 0;
  }
}

int main(void) {
  const char *address = getenv("AWS_LAMBDA_RUNTIME_API");
  char host[64];
  if (!address || strlen(address) >= sizeof host) return 1;
  strcpy(host, address);
  char *colon = strchr(host, ':');
  if (!colon) return 1;
  *colon = 0;
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((unsigned short)atoi(colon + 1))};
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) return 1;
  int api = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(api, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(api, (struct sockaddr *)&to, sizeof to)) return 1;
  char request[512];
  for (;;) {
    int length = snprintf(request, sizeof request,
                          "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"
                          "host: %s\r\n\r\n",
                          address);
    if (ask(api, request, (size_t)length)) return 0;
    char *id = strcasestr(text, "lambda-runtime-aws-request-id:");
    if (!id) return 1;
    id += strlen("lambda-runtime-aws-request-id:");
    id += strspn(id, " ");
    length = snprintf(request, sizeof request,
                      "POST /2018-06-01/runtime/invocation/%.*s/response HTTP/1.1\r\n"
                      "host: %s\r\ncontent-length: 2\r\n\r\n{}",
                      (int)strcspn(id, "\r"), id, address);
    if (ask(api, request, (size_t)length)) return 0;
  }
}
