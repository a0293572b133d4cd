/* The real instructions, one output per lane group: d[m][n] of a (M, K) and b transposed (N, K).
   Compiled by tests/numerics/test_x86_units.py; every function has its own target attribute. */
#include <immintrin.h>
#include <stdint.h>

__attribute__((target("avx512f,avx512bf16,avx512vl")))
void cvtneps2bf16(const float *x, uint16_t *out, long n) {
  for (long i = 0; i < n; i += 16) {
    __m256bh y = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
    __builtin_memcpy(out + i, &y, 32);
  }
}

/* Lane l of the register holds pairs a[l][2k], a[l][2k+1]: 16 outputs, K / 2 instructions. */
__attribute__((target("avx512f,avx512bf16")))
void dpbf16(const uint16_t *a, const uint16_t *b, float *c, long k_pairs) {
  __m512 acc = _mm512_loadu_ps(c);
  for (long k = 0; k < k_pairs; k++) {
    __m512bh x, y;
    __builtin_memcpy(&x, a + 32 * k, 64);
    __builtin_memcpy(&y, b + 32 * k, 64);
    acc = _mm512_dpbf16_ps(acc, x, y);
  }
  _mm512_storeu_ps(c, acc);
}

__attribute__((target("avx512f,avx512vnni")))
void dpbusd(const uint8_t *a, const int8_t *b, int32_t *c, long groups, int saturate) {
  __m512i acc = _mm512_loadu_si512(c);
  for (long k = 0; k < groups; k++) {
    __m512i x = _mm512_loadu_si512(a + 64 * k), y = _mm512_loadu_si512(b + 64 * k);
    acc = saturate ? _mm512_dpbusds_epi32(acc, x, y) : _mm512_dpbusd_epi32(acc, x, y);
  }
  _mm512_storeu_si512(c, acc);
}

__attribute__((target("avx2")))
void maddubs(const uint8_t *a, const int8_t *b, int32_t *c, long groups) {
  __m256i acc = _mm256_loadu_si256((const __m256i *)c), one = _mm256_set1_epi16(1);
  for (long k = 0; k < groups; k++) {
    __m256i x = _mm256_loadu_si256((const __m256i *)(a + 32 * k));
    __m256i y = _mm256_loadu_si256((const __m256i *)(b + 32 * k));
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), one));
  }
  _mm256_storeu_si256((__m256i *)c, acc);
}
