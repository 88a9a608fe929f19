/*
 * Announces to a BitTorrent tracker over UDP (BEP 15) as fast as it is answered, with so many under way at once.
 *
 *   bep15 PORT WINDOW SECONDS TORRENTS
 *
 * Prints one line of JSON: how many were answered, in how many seconds, the microseconds that the median and the 99th of a hundred
 * took, and how many were lost. A C program, for a slower one would measure itself.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { CONNECT = 0, ANNOUNCE = 1, REQUEST = 98, AT_ONCE = 64, MOST_WINDOW = 4096, MOST_MICROS = 1000000 };

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

static void put32(uint8_t *to, uint32_t value) {
  value = htobe32(value);
  memcpy(to, &value, 4);
}

static uint32_t get32(const uint8_t *from) {
  uint32_t value;
  memcpy(&value, from, 4);
  return be32toh(value);
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* The id that the tracker wants to see in each announce. */
static uint64_t greet(int fd) {
  uint8_t request[16], answer[16];
  const uint64_t magic = htobe64(0x41727101980ULL);
  uint64_t id;
  memcpy(request, &magic, 8);
  put32(request + 8, CONNECT);
  put32(request + 12, 1);
  for (int tries = 0; tries < 50; tries++) {
    if (send(fd, request, 16, 0) != 16) continue;
    if (recv(fd, answer, 16, 0) != 16 || get32(answer) != CONNECT) continue;
    memcpy(&id, answer + 8, 8);
    return id;
  }
  fail("the tracker does not answer");
  return 0;
}

static uint8_t requests[AT_ONCE][REQUEST], answers[AT_ONCE][2048];
static double sent_at[MOST_WINDOW];
static uint32_t micros[MOST_MICROS + 1];

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  const int window = atoi(argv[2]) < MOST_WINDOW ? atoi(argv[2]) : MOST_WINDOW;
  const double seconds = atof(argv[3]);
  const unsigned torrents = (unsigned)atoi(argv[4]);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0), buffer = 8 << 20;
  const struct timeval patience = {.tv_usec = 200000};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connecting");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  const uint64_t id = greet(fd);

  struct mmsghdr out[AT_ONCE], in[AT_ONCE];
  struct iovec outv[AT_ONCE], inv[AT_ONCE];
  memset(out, 0, sizeof out);
  memset(in, 0, sizeof in);
  for (int n = 0; n < AT_ONCE; n++) {
    outv[n] = (struct iovec){requests[n], REQUEST};
    inv[n] = (struct iovec){answers[n], sizeof answers[n]};
    out[n].msg_hdr = (struct msghdr){.msg_iov = &outv[n], .msg_iovlen = 1};
    in[n].msg_hdr = (struct msghdr){.msg_iov = &inv[n], .msg_iovlen = 1};
    memcpy(requests[n], &id, 8);
    put32(requests[n] + 8, ANNOUNCE);
    memcpy(requests[n] + 36, "-BN0001-000000000000", 20);
    put32(requests[n] + 92, 1);                 /* peers wanted */
    requests[n][96] = 0x1a, requests[n][97] = 0xe1;
  }

  unsigned next = 0;
  long done = 0, lost = 0;
  int under_way = 0;
  const double from = now(), until = from + seconds;
  double at = from;
  while (at < until || under_way > 0) {
    int many = at < until ? window - under_way : 0;
    if (many > AT_ONCE) many = AT_ONCE;
    for (int n = 0; n < many; n++, next++) {
      const uint64_t torrent = (next * 2654435761u) % torrents;
      put32(requests[n] + 12, next);
      memcpy(requests[n] + 16, &torrent, 8);    /* info_hash */
      put32(requests[n] + 88, next & 0xffff);   /* key */
      sent_at[next % MOST_WINDOW] = at;
    }
    if (many > 0) {
      const int went = sendmmsg(fd, out, (unsigned)many, 0);
      if (went < 0) fail("sending");
      next -= (unsigned)(many - went);
      under_way += went;
    }
    const int came = recvmmsg(fd, in, AT_ONCE, MSG_WAITFORONE, NULL);
    at = now();
    if (came < 0) {                             /* silence: what is under way is lost */
      lost += under_way;
      under_way = 0;
      continue;
    }
    for (int n = 0; n < came; n++) {
      if (in[n].msg_len < 20 || get32(answers[n]) != ANNOUNCE) continue;
      const double took = (at - sent_at[get32(answers[n] + 4) % MOST_WINDOW]) * 1e6;
      micros[took < MOST_MICROS ? (uint32_t)took : MOST_MICROS]++;
      done++;
      if (under_way > 0) under_way--;
    }
  }
  long seen = 0;
  uint32_t p50 = 0, p99 = 0;
  for (uint32_t n = 0; n <= MOST_MICROS; n++) {
    seen += micros[n];
    if (p50 == 0 && seen * 2 >= done) p50 = n;
    if (p99 == 0 && seen * 100 >= done * 99) p99 = n;
  }
  printf("{\"done\":%ld,\"seconds\":%f,\"p50\":%u,\"p99\":%u,\"lost\":%ld}\n", done, at - from, p50, p99, lost);
  return 0;
}
