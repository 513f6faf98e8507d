/* Hashes one password for each line of its input, in one buffer that was touched
   before, and answers with the nanoseconds of processor time that it took: the
   reference library, with the parameters, the salt and the password of `hash.rs`. */
#include <argon2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define M_KIB 19456

static uint8_t *kept;

static int allocate(uint8_t **memory, size_t bytes) {
  if (bytes > (size_t)M_KIB * 1024) return ARGON2_MEMORY_ALLOCATION_ERROR;
  *memory = kept;
  return ARGON2_OK;
}

static void give_back(uint8_t *memory, size_t bytes) {
  (void)memory;
  (void)bytes;
}

int main(void) {
  kept = aligned_alloc(4096, (size_t)M_KIB * 1024);
  if (!kept) return 1;
  memset(kept, 1, (size_t)M_KIB * 1024);
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    uint8_t tag[32];
    char password[] = "quiet otter borrows nine lanterns";
    char salt[] = "curfew measures!";
    argon2_context context = {
        .out = tag, .outlen = sizeof tag,
        .pwd = (uint8_t *)password, .pwdlen = (uint32_t)strlen(password),
        .salt = (uint8_t *)salt, .saltlen = 16,
        .t_cost = 2, .m_cost = M_KIB, .lanes = 1, .threads = 1,
        .version = ARGON2_VERSION_13,
        .allocate_cbk = allocate, .free_cbk = give_back,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    struct timespec began, ended;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    int outcome = argon2id_ctx(&context);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    if (outcome != ARGON2_OK) return 1;
    printf("%lld ", (long long)(ended.tv_sec - began.tv_sec) * 1000000000 +
                        (ended.tv_nsec - began.tv_nsec));
    for (size_t i = 0; i < sizeof tag; i++) printf("%02x", tag[i]);
    printf("\n");
    fflush(stdout);
  }
  return 0;
}
