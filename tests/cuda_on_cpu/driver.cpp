// A CUDA driver of one device that loads anything and launches nothing: it tells whoever asks about each launch.
// It has what cuda.core calls on the way to a launch; other functions are absent, as in an old driver.
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <map>
#include <string>

typedef int Result;
enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_CONTEXT = 201, NOT_FOUND = 500, LAUNCH_FAILED = 719 };
enum { MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76, COOPERATES = 95, OPTIN = 97 };
const int COOPERATIVE = 2;  // of CUlaunchAttributeID
const int MAX_DYNAMIC_SHARED_BYTES = 8, SHARED_BYTES = 200000, BEFORE_ASKING = 48 * 1024;

struct Library {
  std::string image;
};

struct Kernel {
  Library* library;
  std::string name;
  int allowed;
};

struct Attribute {
  int id;
  char padding[4];
  int value;
  char rest[60];
};

struct Config {
  unsigned grid[3], block[3], shared_bytes;
  void* stream;
  Attribute* attributes;
  unsigned n_attributes;
};

struct Launched {
  const char *image, *name;
  unsigned grid[3], block[3], shared_bytes, cooperative;
  void* stream;
  void** parameters;
};

static int context;
static thread_local void* current = nullptr;
static int (*told)(const Launched*) = nullptr;

extern "C" {

void tell(int (*listener)(const Launched*)) { told = listener, current = nullptr; }

Result cuInit(unsigned) { return SUCCESS; }
Result cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
Result cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
Result cuDeviceGet(int* device, int index) { return *device = index, index ? INVALID_VALUE : SUCCESS; }

Result cuDeviceGetAttribute(int* value, int attribute, int) {
  std::map<int, int> known = {{MULTIPROCESSORS, 2}, {MAJOR, 9}, {MINOR, 0}, {COOPERATES, 1}, {OPTIN, SHARED_BYTES}};
  *value = known.count(attribute) ? known[attribute] : 0;
  return SUCCESS;
}

Result cuDevicePrimaryCtxRetain(void** found, int) { return *found = &context, SUCCESS; }
Result cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
Result cuCtxGetCurrent(void** found) { return *found = current, SUCCESS; }
Result cuCtxSetCurrent(void* now) { return current = now, SUCCESS; }
Result cuCtxGetDevice(int* device) { return *device = 0, current ? SUCCESS : INVALID_CONTEXT; }

Result cuStreamGetCtx(void*, void** found) { return *found = &context, SUCCESS; }
Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, size_t) { return *blocks = 2, SUCCESS; }

Result cuLibraryLoadData(Library** library, const void* code, void*, void*, unsigned, void*, void*, unsigned) {
  return *library = new Library{(const char*)code}, SUCCESS;
}
Result cuLibraryUnload(Library* library) { return delete library, SUCCESS; }
Result cuLibraryGetKernel(Kernel** kernel, Library* library, const char* name) {
  return *kernel = new Kernel{library, name, BEFORE_ASKING}, SUCCESS;
}

Result cuKernelSetAttribute(int attribute, int value, Kernel* kernel, int device) {
  if (attribute != MAX_DYNAMIC_SHARED_BYTES || device || value > SHARED_BYTES) return INVALID_VALUE;
  return kernel->allowed = value, SUCCESS;
}

Result cuLaunchKernelEx(const Config* config, Kernel* kernel, void** parameters, void** extra) {
  if (!current) return INVALID_CONTEXT;
  if (extra || config->n_attributes > 1 || config->shared_bytes > (unsigned)kernel->allowed) return INVALID_VALUE;
  bool cooperative = config->n_attributes == 1;
  if (cooperative && (config->attributes->id != COOPERATIVE || config->attributes->value != 1)) return INVALID_VALUE;
  Launched launched = {kernel->library->image.c_str(), kernel->name.c_str(), {}, {}, config->shared_bytes, cooperative,
                       config->stream, parameters};
  memcpy(launched.grid, config->grid, sizeof launched.grid), memcpy(launched.block, config->block, sizeof launched.block);
  return told(&launched) ? LAUNCH_FAILED : SUCCESS;
}

Result cuLaunchKernel(Kernel* kernel, unsigned x, unsigned y, unsigned z, unsigned a, unsigned b, unsigned c,
                      unsigned shared_bytes, void* stream, void** parameters, void** extra) {
  Config config = {{x, y, z}, {a, b, c}, shared_bytes, stream, nullptr, 0};
  void* before = current;
  current = &context;  // XLA's thread has one
  Result result = cuLaunchKernelEx(&config, kernel, parameters, extra);
  return current = before, result;
}

Result cuGetExportTable(const void** table, const void*) { return *table = nullptr, NOT_FOUND; }
Result cuGetErrorName(Result, const char** text) { return *text = "CUDA_ERROR_OF_THE_FAKE", SUCCESS; }
Result cuGetErrorString(Result, const char** text) { return *text = "the fake driver refuses", SUCCESS; }

Result cuGetProcAddress_v2(const char* symbol, void** function, int, unsigned long long, int* status) {
  std::string name = symbol, newer = name + "_v2";
  static void* self = [] {
    Dl_info info;
    dladdr((void*)cuInit, &info);
    return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  }();
  *function = name == "cuGetProcAddress" ? (void*)cuGetProcAddress_v2 : dlsym(self, name.c_str());
  if (!*function) *function = dlsym(self, newer.c_str());
  if (status) *status = *function ? 0 : 1;
  return *function ? SUCCESS : NOT_FOUND;
}
}
