// Words and functions of CUDA C++ that concern one thread.
#pragma once
#include <math.h>

#include <cstring>

#define __global__
#define __device__
#define __noinline__
#define __shared__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define KSUBSET_CHECKED

using std::isinf, std::isnan;
template <typename T> T min(T x, T y) { return y < x ? y : x; }
template <typename T> T max(T x, T y) { return x < y ? y : x; }
template <typename To, typename From> To same_bits(From x) {
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(x); }
inline float __fdividef(float x, float y) { return x / y; }
template <typename T> void sincospi(T x, T* sine, T* cosine) {
  T turns = x - 2 * rint(x / 2);  // exact, in [−1, 1]
  double angle = M_PI * (double)turns;
  *sine = sin(angle), *cosine = fabs(turns) == (T)0.5 ? 0 : cos(angle);
}
inline void sincospif(float x, float* sine, float* cosine) { sincospi(x, sine, cosine); }
