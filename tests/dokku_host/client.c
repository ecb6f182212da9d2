/* The forced command of the fake host for plain commands: what client.py does, without an interpreter's start.
 *
 * client SOCKET PYTHON CLIENT.PY; a git service is handed to client.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct bytes {
    char *at;
    size_t size;
};

static struct bytes read_all(int from) {
    struct bytes all = {malloc(1 << 16), 0};
    size_t room = 1 << 16;
    ssize_t got;
    while ((got = read(from, all.at + all.size, room - all.size)) > 0) {
        all.size += (size_t)got;
        if (all.size == room)
            all.at = realloc(all.at, room *= 2);
    }
    return all;
}

static void write_all(int to, const char *at, size_t size) {
    while (size > 0) {
        ssize_t put = write(to, at, size);
        if (put <= 0)
            _exit(255);
        at += put;
        size -= (size_t)put;
    }
}

int main(int count, char **words) {
    const char *line = getenv("SSH_ORIGINAL_COMMAND");
    if (line == NULL)
        line = "";
    if (count != 4)
        return 255;
    if (strncmp(line, "git-", 4) == 0) {
        execl(words[2], words[2], "-S", "-I", words[3], words[1], (char *)NULL);
        return 255;
    }
    struct bytes body = read_all(0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
    int link = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(link, (struct sockaddr *)&address, sizeof address) != 0)
        return 255;
    char head[64];
    int length = snprintf(head, sizeof head, "%zu %zu\nrun ", strlen(line) + 4, body.size);
    write_all(link, head, (size_t)length);
    write_all(link, line, strlen(line));
    write_all(link, body.at, body.size);
    struct bytes answer = read_all(link);
    int code;
    size_t out, err;
    const char *rest = memchr(answer.at, '\n', answer.size);
    if (rest == NULL || sscanf(answer.at, "%d %zu %zu", &code, &out, &err) != 3)
        return 255;
    write_all(2, rest + 1 + out, err);
    write_all(1, rest + 1, out);
    return code;
}
