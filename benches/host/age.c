/* How old records are when they arrive, for benches/host/latency.
 *
 *     age zmq          binds to a port of the system's choice, prints the endpoint, and subscribes
 *                      to everything
 *     age file PATH    follows a log of JSON as it grows, by inotify, from when it is there
 *
 * A record begins with {"ts": and the time at which it was made, in seconds since the epoch. Each
 * line on the standard input is answered with the number of records so far. At the end of its input,
 * the program prints "COUNT P50 P99 P99.9 MAX", the ages in microseconds, and ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static uint32_t* ages;
static size_t count, room;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void note(const char* record, size_t size, double arrived) {
    static const char start[] = "{\"ts\":";
    char made[32];
    size_t length = size - (sizeof(start) - 1);

    if (size < sizeof(start) || memcmp(record, start, sizeof(start) - 1) != 0)
        return;
    if (length >= sizeof(made))
        length = sizeof(made) - 1;
    memcpy(made, record + sizeof(start) - 1, length);
    made[length] = '\0';

    if (count == room) {
        room = room ? room * 2 : 1 << 16;
        ages = realloc(ages, room * sizeof(*ages));
        if (!ages)
            exit(1);
    }
    double age = (arrived - strtod(made, NULL)) * 1e6;
    ages[count++] = age < 0 ? 0 : age > UINT32_MAX ? UINT32_MAX : (uint32_t)age;
}

static int compare(const void* a, const void* b) {
    uint32_t left = *(const uint32_t*)a, right = *(const uint32_t*)b;
    return left < right ? -1 : left > right;
}

static unsigned percentile(double part) {
    if (count == 0)
        return 0;
    size_t index = (size_t)((double)count * part);
    return ages[index < count ? index : count - 1];
}

/* Answers a line of the input. Returns false at the end of the input. */
static int answer(void) {
    char line[16];
    if (read(STDIN_FILENO, line, sizeof(line)) > 0) {
        printf("%zu\n", count);
        fflush(stdout);
        return 1;
    }
    qsort(ages, count, sizeof(*ages), compare);
    printf("%zu %u %u %u %u\n", count, percentile(0.5), percentile(0.99), percentile(0.999), percentile(1));
    return 0;
}

static int subscribe(void) {
    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_SUB);
    char endpoint[64];
    size_t size = sizeof(endpoint);

    if (!socket || zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) || zmq_bind(socket, "tcp://127.0.0.1:*") ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size)) {
        fprintf(stderr, "age: %s\n", zmq_strerror(zmq_errno()));
        return 1;
    }
    printf("%s\n", endpoint);
    fflush(stdout);

    zmq_pollitem_t items[] = {{socket, 0, ZMQ_POLLIN, 0}, {NULL, STDIN_FILENO, ZMQ_POLLIN, 0}};
    for (;;) {
        if (zmq_poll(items, 2, -1) < 0)
            return 1;
        if (items[0].revents) {
            zmq_msg_t frame;
            zmq_msg_init(&frame);
            for (int i = 0; i < 1000 && zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0; i++)
                if (!zmq_msg_more(&frame))
                    note(zmq_msg_data(&frame), zmq_msg_size(&frame), now());
            zmq_msg_close(&frame);
        }
        if (items[1].revents && !answer())
            return 0;
    }
}

static int follow(const char* path) {
    static char buffer[1 << 20];
    size_t have = 0;
    int file = -1, events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    struct pollfd items[] = {{events, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};

    for (;;) {
        if (file < 0 && (file = open(path, O_RDONLY | O_CLOEXEC)) >= 0)
            inotify_add_watch(events, path, IN_MODIFY);
        if (poll(items, 2, file < 0 ? 10 : -1) < 0)
            return 1;
        if (items[0].revents) {
            char ignored[4096];
            while (read(events, ignored, sizeof(ignored)) > 0) {
            }
        }
        ssize_t got;
        while (file >= 0 && (got = read(file, buffer + have, sizeof(buffer) - have)) > 0) {
            double arrived = now();
            char *line = buffer, *end;
            have += (size_t)got;
            while ((end = memchr(line, '\n', have - (size_t)(line - buffer)))) {
                note(line, (size_t)(end - line), arrived);
                line = end + 1;
            }
            have -= (size_t)(line - buffer);
            memmove(buffer, line, have);
        }
        if (items[1].revents && !answer())
            return 0;
    }
}

int main(int argc, char** argv) {
    if (argc == 2 && strcmp(argv[1], "zmq") == 0)
        return subscribe();
    if (argc == 3 && strcmp(argv[1], "file") == 0)
        return follow(argv[2]);
    fprintf(stderr, "usage: age zmq | age file PATH\n");
    return 2;
}
