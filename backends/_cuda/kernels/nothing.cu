// What launches kernels is tried by it.
extern "C" __global__ void ksubset_nothing() {}
